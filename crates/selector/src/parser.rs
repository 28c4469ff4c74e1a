//! Tokens to a tree, with a stack of our own: nesting in the text never becomes nesting of calls.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::lexer::{Spanned, Token, tokenize};
use crate::{Expr, ParseError, ParseErrorKind, Selector};

/// The deepest nesting of parentheses, written or in the canonical form, that a selector may have. No
/// selector within Calico's 1024 characters reaches it.
pub const NESTING_MAX: usize = 512;

/// Parses a selector; the empty text is `all()`.
///
/// # Errors
/// [`ParseError`] with the place of the first fault.
pub fn parse(text: &str) -> Result<Selector, ParseError> {
    let tokens = tokenize(text)?;
    if tokens.len() == 1 {
        return Ok(Selector::all());
    }
    let selector = Parser {
        tokens: &tokens,
        next: 0,
    }
    .selector()?;
    if nesting(&selector) > NESTING_MAX {
        return Err(ParseError {
            offset: 0,
            length: text.len(),
            kind: ParseErrorKind::NestingTooDeep,
        });
    }
    Ok(selector)
}

/// How deep the canonical form's parentheses nest. Written parentheses are limited before this is called,
/// and each adds at most two levels.
fn nesting(selector: &Selector) -> usize {
    match selector.expr() {
        Expr::And(operands) | Expr::Or(operands) => {
            1 + operands.iter().map(nesting).max().unwrap_or(0)
        }
        Expr::Not(operand) => nesting(operand),
        _ => 0,
    }
}

/// What has been read of one pair of parentheses, or of the whole text.
#[derive(Default)]
struct Group {
    /// Finished operands of `||`.
    alternatives: Vec<Selector>,
    /// Finished operands of the current `&&`.
    conjuncts: Vec<Selector>,
    /// Whether a `!` stands before the parenthesis.
    negated: bool,
}

impl Group {
    fn end_alternative(&mut self) {
        let conjuncts = std::mem::take(&mut self.conjuncts);
        self.alternatives
            .extend(Selector::fold(conjuncts, Expr::And));
    }

    fn finish(mut self) -> Selector {
        self.end_alternative();
        let whole = Selector::fold(self.alternatives, Expr::Or).unwrap_or_else(Selector::all);
        if self.negated { whole.not() } else { whole }
    }
}

struct Parser<'a> {
    tokens: &'a [Spanned<'a>],
    next: usize,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<Selector, ParseError> {
        let mut outer: Vec<Group> = Vec::new();
        let mut group = Group::default();
        loop {
            let negated = self.negations();
            if self.peek().token == Token::LeftParen {
                if outer.len() >= NESTING_MAX {
                    return Err(self.error(ParseErrorKind::NestingTooDeep));
                }
                self.advance();
                let inner = Group {
                    negated,
                    ..Group::default()
                };
                outer.push(std::mem::replace(&mut group, inner));
                continue;
            }
            let operation = self.operation()?;
            group
                .conjuncts
                .push(if negated { operation.not() } else { operation });
            while self.peek().token == Token::RightParen
                && let Some(parent) = outer.pop()
            {
                self.advance();
                let inner = std::mem::replace(&mut group, parent);
                group.conjuncts.push(inner.finish());
            }
            match self.peek().token {
                Token::And => {}
                Token::Or => group.end_alternative(),
                _ if !outer.is_empty() => return Err(self.error(ParseErrorKind::ExpectedParen)),
                Token::End => return Ok(group.finish()),
                token => {
                    let found = token.to_string();
                    return Err(self.error(ParseErrorKind::TrailingContent { found }));
                }
            }
            self.advance();
        }
    }

    /// Moves past any number of `!`; whether they negate.
    fn negations(&mut self) -> bool {
        let mut negated = false;
        while self.peek().token == Token::Not {
            self.advance();
            negated = !negated;
        }
        negated
    }

    fn operation(&mut self) -> Result<Selector, ParseError> {
        let label = match self.peek().token {
            Token::Has(label) => return Ok(self.leaf(Expr::Has(label.into()))),
            Token::All => return Ok(self.leaf(Expr::All)),
            Token::Global => return Ok(self.leaf(Expr::Global)),
            Token::Label(label) => label,
            Token::End => return Err(self.error(ParseErrorKind::UnexpectedEnd)),
            token => {
                let found = token.to_string();
                return Err(self.error(ParseErrorKind::UnexpectedToken { found }));
            }
        };
        self.advance();
        let label: Arc<str> = label.into();
        let comparison: fn(Arc<str>, Arc<str>) -> Expr = match self.peek().token {
            Token::Equal => Expr::Equal,
            Token::NotEqual => Expr::NotEqual,
            Token::Contains => Expr::Contains,
            Token::StartsWith => Expr::StartsWith,
            Token::EndsWith => Expr::EndsWith,
            Token::In => return Ok(Expr::In(label, self.set()?).into()),
            Token::NotIn => return Ok(Expr::NotIn(label, self.set()?).into()),
            Token::End => return Err(self.error(ParseErrorKind::UnexpectedEnd)),
            token => {
                let found = token.to_string();
                return Err(self.error(ParseErrorKind::ExpectedComparison { found }));
            }
        };
        self.advance();
        let Token::String(value) = self.peek().token else {
            return Err(self.error(ParseErrorKind::ExpectedString));
        };
        Ok(self.leaf(comparison(label, value.into())))
    }

    /// The set behind `in` or `not in`; a comma may stand before the closing brace.
    fn set(&mut self) -> Result<BTreeSet<Arc<str>>, ParseError> {
        self.advance();
        if self.peek().token != Token::LeftBrace {
            return Err(self.error(ParseErrorKind::ExpectedSet));
        }
        self.advance();
        let mut values = BTreeSet::new();
        while let Token::String(value) = self.peek().token {
            values.insert(value.into());
            self.advance();
            if self.peek().token != Token::Comma {
                break;
            }
            self.advance();
        }
        if self.peek().token != Token::RightBrace {
            return Err(self.error(ParseErrorKind::ExpectedBrace));
        }
        self.advance();
        Ok(values)
    }

    fn leaf(&mut self, expr: Expr) -> Selector {
        self.advance();
        expr.into()
    }

    fn peek(&self) -> Spanned<'a> {
        // The last token is `End` and nothing moves past it, so there always is one.
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    fn error(&self, kind: ParseErrorKind) -> ParseError {
        let at = self.peek();
        ParseError {
            offset: at.offset,
            length: at.length,
            kind,
        }
    }
}
