//! The scanner: bytes to a flat tape of tokens, each of which knows where its next sibling is. Iterative; the open
//! containers are linked through the tape itself, so depth costs nothing.

use super::error::{BencodeError, BencodeErrorKind as Kind};
use alloc::vec::Vec;

/// How much a stranger may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BencodeLimits {
    /// Levels of nesting, the outermost value being the first; what is deeper is an error.
    pub depth_max: u32,
    /// Values and keys; each costs 16 bytes of memory while the document lives.
    pub nodes_max: u32,
}

impl Default for BencodeLimits {
    /// For messages: 16 levels, 16,384 values.
    fn default() -> Self {
        Self { depth_max: 16, nodes_max: 16_384 }
    }
}

/// One value or key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// Where it starts in the input; the byte there tells its type.
    pub(super) at: u32,
    /// A string: where its content starts. A container: `DICT` and `UNSORTED`. An integer: its first digit or minus.
    pub(super) data: u32,
    /// One past its last byte. While a dictionary is open: its last key's token, or 0.
    pub(super) end: u32,
    /// The token after this value and all in it. While a container is open: its parent, or `NONE`.
    pub(super) next: u32,
}

const NONE: u32 = u32::MAX;
const DICT: u32 = 1;
const UNSORTED: u32 = 2;

/// What the next token will be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A list's item, or the outermost value.
    Item,
    /// A dictionary's key.
    Key,
    /// The value of the key before it.
    Value,
}

/// Reads one value at the start of the input: its tape, and how many bytes it took.
pub(super) fn scan(input: &[u8], limits: &BencodeLimits) -> Result<(Vec<Token>, usize), BencodeError> {
    if input.len() >= NONE as usize {
        return Err(BencodeError::new(0, Kind::TooLarge));
    }
    let guess = (input.len() / 8 + 4).min(limits.nodes_max as usize).min(1 << 16);
    let mut scan = Scan {
        input,
        tape: Vec::with_capacity(guess),
        at: 0,
        open: NONE,
        depth: 0,
        role: Role::Item,
        limits: *limits,
    };
    scan.run()?;
    Ok((scan.tape, scan.at))
}

struct Scan<'a> {
    input: &'a [u8],
    tape: Vec<Token>,
    at: usize,
    open: u32,
    depth: u32,
    role: Role,
    limits: BencodeLimits,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), BencodeError> {
        loop {
            match self.byte(self.at)? {
                b'0'..=b'9' => self.string()?,
                b'i' => self.integer()?,
                kind @ (b'd' | b'l') => {
                    self.open(kind == b'd')?;
                    continue;
                }
                b'e' if self.open != NONE => self.close()?,
                other => return Err(self.wrong(self.at, Kind::Start(other))),
            }
            if self.open == NONE {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<(), BencodeError> {
        let start = self.at;
        let mut at = start;
        let mut length = 0_u64;
        loop {
            match self.byte(at)? {
                digit @ b'0'..=b'9' => length = length * 10 + u64::from(digit - b'0'),
                b':' => break,
                _ => return Err(self.wrong(start, Kind::Length)),
            }
            if length > self.input.len() as u64 {
                return Err(self.wrong(start, Kind::TooLong));
            }
            at += 1;
            if length == 0 && self.byte(at)? != b':' {
                return Err(self.wrong(start, Kind::Length));
            }
        }
        let data = at + 1;
        let end = data.saturating_add(length as usize);
        if end > self.input.len() {
            return Err(self.wrong(start, Kind::TooLong));
        }
        self.at = end;
        let token = self.push(start, data, end)?;
        match self.role {
            Role::Item => {}
            Role::Value => self.role = Role::Key,
            Role::Key => {
                self.key(token)?;
                self.role = Role::Value;
            }
        }
        Ok(())
    }

    /// Remembers a dictionary's key; one that is not above the key before it makes the dictionary unsorted, to be
    /// checked for duplicates at its end.
    fn key(&mut self, token: u32) -> Result<(), BencodeError> {
        let dict = self.tape.get(self.open as usize).copied();
        let Some(dict) = dict else { return Ok(()) };
        let mut data = dict.data;
        if dict.end != 0 {
            match self.content(dict.end).cmp(self.content(token)) {
                core::cmp::Ordering::Less => {}
                core::cmp::Ordering::Equal => {
                    return Err(self.wrong(self.start(token), Kind::DuplicateKey));
                }
                core::cmp::Ordering::Greater => data |= UNSORTED,
            }
        }
        if let Some(dict) = self.tape.get_mut(self.open as usize) {
            dict.end = token;
            dict.data = data;
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<(), BencodeError> {
        let start = self.at;
        if self.role == Role::Key {
            return Err(self.wrong(start, Kind::Key));
        }
        let minus = self.byte(start + 1)? == b'-';
        let first = start + 1 + usize::from(minus);
        let leading = self.byte(first)?;
        let mut at = first;
        while self.byte(at)?.is_ascii_digit() {
            at += 1;
        }
        let digits = at - first;
        let zero_wrong = leading == b'0' && (digits > 1 || minus);
        if self.byte(at)? != b'e' || digits == 0 || zero_wrong {
            return Err(self.wrong(start, Kind::Integer));
        }
        self.at = at + 1;
        self.push(start, start + 1, at + 1)?;
        self.value_ended();
        Ok(())
    }

    fn open(&mut self, dict: bool) -> Result<(), BencodeError> {
        if self.role == Role::Key {
            return Err(self.wrong(self.at, Kind::Key));
        }
        if self.depth >= self.limits.depth_max {
            return Err(self.wrong(self.at, Kind::Depth));
        }
        let token = self.push(self.at, 0, 0)?;
        if let Some(opened) = self.tape.get_mut(token as usize) {
            opened.data = if dict { DICT } else { 0 };
            opened.next = self.open;
        }
        self.open = token;
        self.depth += 1;
        self.role = if dict { Role::Key } else { Role::Item };
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), BencodeError> {
        if self.role == Role::Value {
            return Err(self.wrong(self.at, Kind::NoValue));
        }
        let Some(token) = self.tape.get(self.open as usize).copied() else { return Ok(()) };
        if token.data & UNSORTED != 0 {
            self.check_keys(self.open)?;
        }
        self.at += 1;
        let next = self.tape.len() as u32;
        if let Some(closed) = self.tape.get_mut(self.open as usize) {
            closed.end = self.at as u32;
            closed.next = next;
        }
        self.open = token.next;
        self.depth -= 1;
        self.role = match self.tape.get(self.open as usize) {
            Some(parent) if parent.data & DICT != 0 => Role::Key,
            Some(_) | None => Role::Item,
        };
        Ok(())
    }

    /// Looks for duplicates among the keys of an unsorted dictionary, in n log n.
    fn check_keys(&self, dict: u32) -> Result<(), BencodeError> {
        let mut keys = Vec::new();
        let mut at = dict + 1;
        while (at as usize) < self.tape.len() {
            keys.push(at);
            at = self.tape.get(at as usize + 1).map_or(NONE, |value| value.next);
        }
        keys.sort_by(|&a, &b| self.content(a).cmp(self.content(b)));
        for (a, b) in keys.iter().zip(keys.iter().skip(1)) {
            if self.content(*a) == self.content(*b) {
                return Err(self.wrong(self.start(*b), Kind::DuplicateKey));
            }
        }
        Ok(())
    }

    fn value_ended(&mut self) {
        if self.role == Role::Value {
            self.role = Role::Key;
        }
    }

    fn push(&mut self, at: usize, data: usize, end: usize) -> Result<u32, BencodeError> {
        let token = self.tape.len() as u32;
        if token >= self.limits.nodes_max {
            return Err(self.wrong(at, Kind::Nodes));
        }
        self.tape.push(Token { at: at as u32, data: data as u32, end: end as u32, next: token + 1 });
        Ok(token)
    }

    fn byte(&self, at: usize) -> Result<u8, BencodeError> {
        match self.input.get(at) {
            Some(&byte) => Ok(byte),
            None => Err(self.wrong(self.input.len(), Kind::End)),
        }
    }

    fn content(&self, token: u32) -> &[u8] {
        self.tape
            .get(token as usize)
            .and_then(|t| self.input.get(t.data as usize..t.end as usize))
            .unwrap_or_default()
    }

    fn start(&self, token: u32) -> usize {
        self.tape.get(token as usize).map_or(0, |t| t.at as usize)
    }

    #[cold]
    fn wrong(&self, offset: usize, kind: Kind) -> BencodeError {
        BencodeError::new(offset, kind)
    }
}
