//! Licence expressions: whether a list of allowed licences satisfies one. `AND` needs both sides,
//! `OR` one, and `X WITH Y` is a name of its own. It knows no licence by name.

/// Whether `allowed` satisfies `expression`. An expression that cannot be read is not satisfied.
pub fn satisfied(expression: &str, allowed: &[String]) -> bool {
    // The old form `MIT/Apache-2.0` means `OR`.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut parser = Parser {
        words: spaced.split_whitespace().collect(),
        at: 0,
        allowed,
    };
    let answer = parser.either();
    answer == Some(true) && parser.at == parser.words.len()
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [String],
}

impl<'a> Parser<'a> {
    fn either(&mut self) -> Option<bool> {
        let mut answer = self.both()?;
        while self.eat("OR") {
            answer |= self.both()?;
        }
        Some(answer)
    }

    fn both(&mut self) -> Option<bool> {
        let mut answer = self.one()?;
        while self.eat("AND") {
            answer &= self.one()?;
        }
        Some(answer)
    }

    fn one(&mut self) -> Option<bool> {
        if self.eat("(") {
            let answer = self.either()?;
            return self.eat(")").then_some(answer);
        }
        let mut name = self.next()?.to_owned();
        if self.eat("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&name))
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied()?;
        self.at += 1;
        Some(word)
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expect: bool) {
        let allowed = [
            "MIT",
            "Apache-2.0",
            "Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ];
        let allowed = allowed.map(str::to_owned);
        assert_eq!(satisfied(expression, &allowed), expect, "{expression}");
    }

    #[test]
    fn expressions() {
        check("MIT", true);
        check("MIT OR LGPL-2.1-or-later", true);
        check("GPL-3.0-only OR MIT/Apache-2.0", true);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("MIT AND MPL-2.0", false);
        check("(MIT OR Apache-2.0) AND MPL-2.0", false);
        check("Apache-2.0 WITH other-exception", false);
        check("GPL-3.0-only", false);
    }

    #[test]
    fn the_unreadable_is_refused() {
        check("", false);
        check("MIT OR", false);
        check("(MIT", false);
        check("MIT MIT", false);
    }
}
