//! A Rust file as tokens and comments: enough to follow `mod`, match braces and tell code from
//! text. It does not parse; what the compiler accepts, this cuts at the same places.

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An identifier, keyword or number.
    Word(String),
    /// One character of punctuation.
    Punct(char),
    /// The text between the quotes of a string literal, escapes left as written.
    Text(String),
}

/// One token and the line it starts on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Line of its first character.
    pub line: usize,
}

impl Token {
    /// Whether this is the word `word`.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text == word)
    }

    /// Whether this is the punctuation `mark`.
    pub fn is(&self, mark: char) -> bool {
        self.kind == Kind::Punct(mark)
    }
}

/// A file cut into tokens and comments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Everything that is code, in order.
    pub tokens: Vec<Token>,
    /// Each line of each comment, with its line number.
    pub comments: Vec<(usize, String)>,
}

impl Source {
    /// Cuts `text`. Never fails: an unclosed string or comment runs to the end.
    pub fn cut(text: &str) -> Self {
        let mut cutter = Cutter {
            rest: text,
            line: 1,
            out: Self::default(),
        };
        while !cutter.rest.is_empty() {
            cutter.step();
        }
        cutter.out
    }

    /// Whether the tokens hold `pattern`, words and marks in a row, e.g. `["std", ":", ":", "fs"]`.
    /// Returns the line of each place where it begins.
    pub fn places_of(&self, pattern: &[&str]) -> Vec<usize> {
        self.tokens
            .windows(pattern.len())
            .filter(|window| {
                window
                    .iter()
                    .zip(pattern)
                    .all(|(token, want)| matches(token, want))
            })
            .filter_map(|window| window.first())
            .map(|token| token.line)
            .collect()
    }

    /// The index of the token that closes the bracket opened at `open`, or the last one.
    pub fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Punct('{' | '(' | '[') => depth += 1,
                Kind::Punct('}' | ')' | ']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    /// First and last line of each inline module marked `#[cfg(test)]`.
    pub fn test_regions(&self) -> Vec<(usize, usize)> {
        const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
        let mut regions = Vec::new();
        for (start, window) in self.tokens.windows(MARK.len()).enumerate() {
            if !window
                .iter()
                .zip(MARK)
                .all(|(token, want)| matches(token, want))
            {
                continue;
            }
            let after = &self.tokens[start + MARK.len()..];
            let Some(stop) = after
                .iter()
                .position(|token| token.is('{') || token.is(';'))
            else {
                continue;
            };
            let opens = after[stop].is('{');
            if opens && after[..stop].iter().any(|token| token.is_word("mod")) {
                let close = self.closing(start + MARK.len() + stop);
                regions.push((self.tokens[start].line, self.tokens[close].line));
            }
        }
        regions
    }

    /// The text of every string literal.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter_map(|token| match &token.kind {
            Kind::Text(text) => Some(text.as_str()),
            Kind::Word(_) | Kind::Punct(_) => None,
        })
    }
}

fn matches(token: &Token, want: &str) -> bool {
    match &token.kind {
        Kind::Word(text) => text == want,
        Kind::Punct(mark) => want.chars().eq([*mark]),
        Kind::Text(_) => false,
    }
}

struct Cutter<'a> {
    rest: &'a str,
    line: usize,
    out: Source,
}

impl<'a> Cutter<'a> {
    fn step(&mut self) {
        let line = self.line;
        if self.rest.starts_with("//") {
            let length = self.rest.find('\n').unwrap_or(self.rest.len());
            let text = self.take(length);
            self.out.comments.push((line, text.to_owned()));
        } else if self.rest.starts_with("/*") {
            let text = self.take(block_comment_length(self.rest));
            let lines = text.lines().enumerate();
            self.out
                .comments
                .extend(lines.map(|(offset, text)| (line + offset, text.to_owned())));
        } else if let Some((prefix, hashes)) = raw_string_start(self.rest) {
            self.take(prefix);
            let end = format!("\"{}", "#".repeat(hashes));
            let length = self.rest.find(&end).unwrap_or(self.rest.len());
            let text = self.take(length).to_owned();
            self.take(end.len().min(self.rest.len()));
            self.push(line, Kind::Text(text));
        } else if self.rest.starts_with('"') {
            self.take(1);
            let text = self.take(quoted_length(self.rest, '"')).to_owned();
            self.take(1.min(self.rest.len()));
            self.push(line, Kind::Text(text));
        } else if let Some(length) = char_literal_length(self.rest) {
            self.take(length);
        } else {
            self.word_or_mark();
        }
    }

    fn word_or_mark(&mut self) {
        let line = self.line;
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = self
            .rest
            .find(|letter| !is_word(letter))
            .unwrap_or(self.rest.len());
        if length > 0 {
            let word = self.take(length).to_owned();
            self.push(line, Kind::Word(word));
        } else if let Some(mark) = self.rest.chars().next() {
            self.take(mark.len_utf8());
            if !mark.is_whitespace() {
                self.push(line, Kind::Punct(mark));
            }
        }
    }

    fn push(&mut self, line: usize, kind: Kind) {
        self.out.tokens.push(Token { kind, line });
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (head, tail) = self.rest.split_at(length);
        self.rest = tail;
        self.line += head.matches('\n').count();
        head
    }
}

/// Length of the nested block comment that `text` begins with.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length up to the opening quote, that included, and the number of hashes of a raw string.
fn raw_string_start(text: &str) -> Option<(usize, usize)> {
    let letters = ["r", "br", "cr"].into_iter().find(|letters| {
        text.strip_prefix(letters)
            .is_some_and(|rest| rest.starts_with(['"', '#']))
    })?;
    let rest = text.strip_prefix(letters)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let quoted = rest.trim_start_matches('#').starts_with('"');
    quoted.then_some((letters.len() + hashes + 1, hashes))
}

/// Bytes before the unescaped `quote` that closes a literal.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == quote {
            return at;
        }
    }
    text.len()
}

/// Length of a character literal; none for a lifetime or a label.
fn char_literal_length(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    let mut letters = rest.chars();
    let first = letters.next()?;
    if first == '\\' {
        return Some(2 + quoted_length(rest, '\''));
    }
    (letters.next() == Some('\'')).then(|| 2 + first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let source = Source::cut(text);
        let words = source
            .tokens
            .into_iter()
            .filter_map(|token| match token.kind {
                Kind::Word(word) => Some(word),
                Kind::Punct(_) | Kind::Text(_) => None,
            });
        words.collect()
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        let text = r##"a /* b /* c */ d */ "e \" f" r#"g " h"# 'i' '\'' '\u{1}' b'j' k // l
            m"##;
        assert_eq!(words(text), ["a", "b", "k", "m"]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(
            words("&'a str, 'outer: loop"),
            ["a", "str", "outer", "loop"]
        );
    }

    #[test]
    fn a_raw_identifier_is_no_string() {
        assert_eq!(words("r#type x"), ["r", "type", "x"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let source = Source::cut("/* a\nb */ \"c\nd\" e // f");
        assert_eq!(source.tokens.last().map(|token| token.line), Some(3));
        let lines: Vec<usize> = source.comments.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn a_test_module_has_a_first_and_a_last_line() {
        let source = Source::cut("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}");
        assert_eq!(source.test_regions(), [(2, 5)]);
        assert_eq!(Source::cut("#[cfg(test)]\nmod tests;").test_regions(), []);
    }
}
