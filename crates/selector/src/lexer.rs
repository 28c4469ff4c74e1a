//! Text to tokens. Whether a word is a label or an operator depends on the token before it: keywords are
//! keywords only right behind a label, so that labels may have any name.

use std::fmt;

use crate::{LABEL_LENGTH_MAX, ParseError, ParseErrorKind};

/// One token. Texts borrow from the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Token<'a> {
    Label(&'a str),
    String(&'a str),
    Has(&'a str),
    All,
    Global,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    Comma,
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    In,
    NotIn,
    Not,
    And,
    Or,
    End,
}

/// A token and the bytes of the text that it covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spanned<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label(label) => return write!(f, "label {label:?}"),
            Self::String(value) => return write!(f, "string {value:?}"),
            Self::Has(label) => return write!(f, "has({label})"),
            Self::All => "all()",
            Self::Global => "global()",
            Self::LeftBrace => "{",
            Self::RightBrace => "}",
            Self::LeftParen => "(",
            Self::RightParen => ")",
            Self::Comma => ",",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Contains => "contains",
            Self::StartsWith => "starts with",
            Self::EndsWith => "ends with",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Not => "!",
            Self::And => "&&",
            Self::Or => "||",
            Self::End => "end of selector",
        })
    }
}

/// Cuts a text into tokens; the last is always [`Token::End`].
pub(crate) fn tokenize(text: &str) -> Result<Vec<Spanned<'_>>, ParseError> {
    let mut lexer = Lexer { text, offset: 0 };
    let mut tokens: Vec<Spanned<'_>> = Vec::new();
    loop {
        lexer.skip_spaces();
        let offset = lexer.offset;
        let token = lexer.next(tokens.last().map(|last| last.token))?;
        tokens.push(Spanned {
            token,
            offset,
            length: lexer.offset - offset,
        });
        if token == Token::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        // The offset only ever moves past whole characters.
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.offset += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// Moves past `prefix` when the text goes on with it.
    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.offset += prefix.len();
        }
        found
    }

    fn error(&self, offset: usize, kind: ParseErrorKind) -> ParseError {
        let length = match self.offset.saturating_sub(offset) {
            0 => self.rest().chars().next().map_or(0, char::len_utf8),
            covered => covered,
        };
        ParseError {
            offset,
            length,
            kind,
        }
    }

    fn next(&mut self, last: Option<Token<'a>>) -> Result<Token<'a>, ParseError> {
        const SIGNS: [(&str, Token<'static>); 10] = [
            ("(", Token::LeftParen),
            (")", Token::RightParen),
            ("{", Token::LeftBrace),
            ("}", Token::RightBrace),
            (",", Token::Comma),
            ("==", Token::Equal),
            ("!=", Token::NotEqual),
            ("!", Token::Not),
            ("&&", Token::And),
            ("||", Token::Or),
        ];
        for (sign, token) in SIGNS {
            if self.take(sign) {
                return Ok(token);
            }
        }
        let offset = self.offset;
        let Some(first) = self.rest().chars().next() else {
            return Ok(Token::End);
        };
        match (first, last) {
            ('"' | '\'', _) => self.string(first),
            ('=', _) => Err(self.error(offset, ParseErrorKind::ExpectedDoubleEqual)),
            ('&', _) => Err(self.error(offset, ParseErrorKind::ExpectedDoubleAnd)),
            ('|', _) => Err(self.error(offset, ParseErrorKind::ExpectedDoubleOr)),
            (_, Some(Token::Label(label))) => self.operator(label),
            _ => self.word(first),
        }
    }

    fn string(&mut self, quote: char) -> Result<Token<'a>, ParseError> {
        let start = self.offset;
        self.offset += quote.len_utf8();
        let rest = self.rest();
        let Some((value, _)) = rest.split_once(quote) else {
            self.offset = self.text.len();
            return Err(self.error(start, ParseErrorKind::UnterminatedString));
        };
        self.offset += value.len() + quote.len_utf8();
        Ok(Token::String(value))
    }

    /// A word operator. Something else behind a label is an error whatever it is.
    fn operator(&mut self, label: &str) -> Result<Token<'a>, ParseError> {
        const OPERATORS: [(&str, &str, Token<'static>); 5] = [
            ("contains", "", Token::Contains),
            ("starts", "with", Token::StartsWith),
            ("ends", "with", Token::EndsWith),
            ("not", "in", Token::NotIn),
            ("in", "", Token::In),
        ];
        let start = self.offset;
        for (first, second, token) in OPERATORS {
            if self.take(first) {
                if !second.is_empty() {
                    self.skip_spaces();
                }
                if self.take(second) && self.identifier().is_empty() {
                    return Ok(token);
                }
                self.offset = start;
            }
        }
        let word = self.identifier().len();
        self.offset += word;
        let label = label.to_owned();
        Err(self.error(start, ParseErrorKind::ExpectedOperator { label }))
    }

    fn word(&mut self, first: char) -> Result<Token<'a>, ParseError> {
        let start = self.offset;
        if self.take("has(") {
            self.skip_spaces();
            let label = self.label()?;
            if label.is_empty() {
                return Err(self.error(self.offset, ParseErrorKind::NoLabelInHas));
            }
            self.close("has")?;
            return Ok(Token::Has(label));
        }
        if self.take("all(") {
            self.close("all")?;
            return Ok(Token::All);
        }
        if self.take("global(") {
            self.close("global")?;
            return Ok(Token::Global);
        }
        let label = self.label()?;
        if label.is_empty() {
            let kind = ParseErrorKind::UnexpectedCharacter { character: first };
            return Err(self.error(start, kind));
        }
        Ok(Token::Label(label))
    }

    fn close(&mut self, function: &'static str) -> Result<(), ParseError> {
        self.skip_spaces();
        if self.take(")") {
            Ok(())
        } else {
            Err(self.error(self.offset, ParseErrorKind::NoClosing { function }))
        }
    }

    /// Moves past a label name, possibly empty.
    fn label(&mut self) -> Result<&'a str, ParseError> {
        let start = self.offset;
        let label = self.identifier();
        self.offset += label.len();
        if label.len() > LABEL_LENGTH_MAX {
            return Err(self.error(start, ParseErrorKind::LabelTooLong));
        }
        Ok(label)
    }

    /// The identifier at the current place, possibly empty; does not move.
    fn identifier(&self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-')))
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }
}
