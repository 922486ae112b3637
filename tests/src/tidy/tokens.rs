//! A small lexer for the guards: words, marks, numbers and where each stands. No grammar, no types, no macros expanded.

/// What a token is. Comments and the insides of strings are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or keyword (`r#` taken off).
    Word(String),
    /// One mark of punctuation.
    Mark(char),
    /// An integer.
    Integer,
    /// A number with a fraction, an exponent or a float's suffix.
    Float,
    /// A string, a character or a lifetime.
    Other,
}

/// One token, its line (from 1), and whether it only exists in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// The line it begins on.
    pub(super) line: usize,
    /// Whether it stands under `#[test]` or `#[cfg(test)]`.
    pub(super) in_test: bool,
}

impl Token {
    /// Whether this is the word `word`.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(w) if w == word)
    }

    /// Whether this is the mark `mark`.
    pub(super) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(w) => Some(w),
            Kind::Mark(_) | Kind::Integer | Kind::Float | Kind::Other => None,
        }
    }
}

/// The tokens of a Rust source, with the parts that only exist in tests marked.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text.chars().collect(), at: 0, line: 1, out: Vec::new() };
    while lexer.at < lexer.rest.len() {
        lexer.step();
    }
    let mut out = lexer.out;
    mark_tests(&mut out);
    out
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    line: usize,
    out: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.rest.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) {
        if self.peek(0) == '\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn push(&mut self, kind: Kind, line: usize) {
        self.out.push(Token { kind, line, in_test: false });
    }

    fn step(&mut self) {
        let (c, line) = (self.peek(0), self.line);
        match c {
            '/' if self.peek(1) == '/' => self.until(|l| l.peek(0) == '\n'),
            '/' if self.peek(1) == '*' => self.block_comment(),
            '"' => self.string(line),
            '\'' => self.quote(line),
            c if c.is_whitespace() => self.bump(),
            c if c.is_ascii_digit() => self.number(line),
            c if c == '_' || c.is_alphabetic() => self.word(line),
            c => {
                self.bump();
                self.push(Kind::Mark(c), line);
            }
        }
    }

    fn until(&mut self, end: impl Fn(&Self) -> bool) {
        while self.at < self.rest.len() && !end(self) {
            self.bump();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => (depth, self.at) = (depth + 1, self.at + 2),
                ('*', '/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.bump(),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self, line: usize) {
        self.bump();
        while self.at < self.rest.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.bump();
            }
            self.bump();
        }
        self.bump();
        self.push(Kind::Other, line);
    }

    fn raw_string(&mut self, line: usize) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.bump();
        }
        self.bump();
        self.until(|l| l.peek(0) == '"' && (1..=hashes).all(|n| l.peek(n) == '#'));
        (0..=hashes).for_each(|_| self.bump());
        self.push(Kind::Other, line);
    }

    fn quote(&mut self, line: usize) {
        let lifetime = self.peek(1) != '\\' && self.peek(2) != '\'';
        self.bump();
        if lifetime {
            self.until(|l| !(l.peek(0) == '_' || l.peek(0).is_alphanumeric()));
        } else {
            if self.peek(0) == '\\' {
                self.bump();
            }
            self.bump();
            self.until(|l| l.peek(0) == '\'');
            self.bump();
        }
        self.push(Kind::Other, line);
    }

    fn number(&mut self, line: usize) {
        let start = self.at;
        let tuple_field = self.out.last().is_some_and(|t| t.is_mark('.'));
        let radix = self.peek(0) == '0' && matches!(self.peek(1), 'x' | 'o' | 'b');
        self.until(|l| !(l.peek(0) == '_' || l.peek(0).is_alphanumeric()));
        let mut fraction = false;
        if !tuple_field && self.peek(0) == '.' && self.peek(1) != '.' && !starts_word(self.peek(1)) {
            fraction = true;
            self.bump();
            self.until(|l| !(l.peek(0) == '_' || l.peek(0).is_alphanumeric()));
        }
        let digits: String = self.rest[start..self.at].iter().collect();
        let suffix = digits.ends_with("f32") || digits.ends_with("f64");
        let exponent =
            digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').starts_with(['e', 'E']);
        let float = fraction || (!radix && (suffix || exponent));
        self.push(if float { Kind::Float } else { Kind::Integer }, line);
    }

    fn word(&mut self, line: usize) {
        let start = self.at;
        self.until(|l| !(l.peek(0) == '_' || l.peek(0).is_alphanumeric()));
        let word: String = self.rest[start..self.at].iter().collect();
        let raw = word.ends_with('r');
        match (word.as_str(), self.peek(0), self.peek(1)) {
            ("r" | "br" | "cr", '"', _) => self.raw_string(line),
            ("r" | "br" | "cr", '#', '"' | '#') if raw => self.raw_string(line),
            ("b" | "c", '"', _) => self.string(line),
            ("b", '\'', _) => self.quote(line),
            ("r", '#', c) if starts_word(c) => self.bump(), // a raw identifier: the word follows
            _ => self.push(Kind::Word(word), line),
        }
    }
}

fn starts_word(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Marks every item under `#[test]` or a `#[cfg(..)]` that asks for `test`.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let Some(end) = attribute_end(tokens, at) else {
            at += 1;
            continue;
        };
        if asks_for_test(&tokens[at..end]) {
            let stop = item_end(tokens, end);
            tokens[at..stop].iter_mut().for_each(|t| t.in_test = true);
            at = stop;
        } else {
            at = end;
        }
    }
}

/// One past the `]` of the outer attribute that begins at `at`.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let begins = tokens[at].is_mark('#') && tokens.get(at + 1).is_some_and(|t| t.is_mark('['));
    begins.then(|| closing(tokens, at + 1) + 1)
}

fn asks_for_test(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().filter_map(Token::word).collect();
    match words.first() {
        Some(&"cfg") => words.contains(&"test") && !words.contains(&"not") && !words.contains(&"any"),
        Some(_) => words == ["test"] || words.ends_with(&["tokio", "test"]),
        None => false,
    }
}

/// One past the end of the item that begins at `at`: its `;` or the `}` of its first `{`.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].kind {
            Kind::Mark(';') => return at + 1,
            Kind::Mark('{') => return closing(tokens, at) + 1,
            Kind::Mark('(' | '[') => at = closing(tokens, at) + 1,
            Kind::Mark(_) | Kind::Word(_) | Kind::Integer | Kind::Float | Kind::Other => at += 1,
        }
    }
    tokens.len()
}

/// Where the bracket that opens at `open` closes (the last token if it never does).
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Mark('(' | '[' | '{') => depth += 1,
            Kind::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            Kind::Mark(_) | Kind::Word(_) | Kind::Integer | Kind::Float | Kind::Other => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// The names of the functions under `#[test]` or a runtime's own (`#[tokio::test]`).
pub fn tests_in(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut awaited = false; // a test's attribute was seen, its `fn` not yet
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(&tokens, at) {
            let words: Vec<&str> = tokens[at..end].iter().filter_map(Token::word).collect();
            awaited |= words.first() == Some(&"test") || words.starts_with(&["tokio", "test"]);
            at = end;
            continue;
        }
        if awaited && tokens[at].is("fn") {
            found.extend(tokens.get(at + 1).and_then(Token::word).map(str::to_owned));
            awaited = false;
        }
        at += 1;
    }
    found
}

/// The names of the modules declared with a file of their own (`mod x;`): those of tests, or all.
pub(super) fn modules_in(text: &str, all: bool) -> Vec<String> {
    let tokens = tokens(text);
    let declared = tokens.windows(3).filter(|w| w[0].is("mod") && w[2].is_mark(';') && (all || w[0].in_test));
    declared.filter_map(|w| w[1].word()).map(str::to_owned).collect()
}
