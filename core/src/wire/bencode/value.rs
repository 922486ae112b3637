//! Views of a scanned document: typed access that says which key is wrong, and where.

use super::error::{BencodeError, BencodeErrorKind};
use super::scan::Token;

/// The four types of bencode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `4:spam`
    Bytes,
    /// `i3e`
    Integer,
    /// `l..e`
    List,
    /// `d..e`
    Dict,
}

/// One value of a document. Copied freely; its bytes live as long as the input, not only as long as the document.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t, 'a> {
    input: &'a [u8],
    tape: &'t [Token],
    token: Token,
    /// The token's number in the tape.
    number: u32,
}

/// What typed access calls a value that was not reached by a key.
const ANONYMOUS: &str = "value";

impl<'t, 'a> Value<'t, 'a> {
    pub(super) fn root(input: &'a [u8], tape: &'t [Token]) -> Self {
        let token = tape.first().copied().unwrap_or(Token { at: 0, data: 0, end: 0, next: 0 });
        Self { input, tape, token, number: 0 }
    }

    fn at(self, number: u32) -> Option<Self> {
        Some(Self { token: *self.tape.get(number as usize)?, number, ..self })
    }

    /// Its type.
    pub fn kind(self) -> Kind {
        match self.input.get(self.token.at as usize) {
            Some(b'i') => Kind::Integer,
            Some(b'l') => Kind::List,
            Some(b'd') => Kind::Dict,
            Some(_) | None => Kind::Bytes,
        }
    }

    /// Where it starts in the input.
    pub fn offset(self) -> usize {
        self.token.at as usize
    }

    /// Its own bytes, as they stand in the input: what an info-hash is made of.
    pub fn raw(self) -> &'a [u8] {
        self.input.get(self.token.at as usize..self.token.end as usize).unwrap_or_default()
    }

    /// The content, if it is a string.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        let content = self.input.get(self.token.data as usize..self.token.end as usize);
        if self.kind() == Kind::Bytes { content } else { None }
    }

    /// The string, if it is one and UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// The number, if it is one and fits.
    pub fn as_int(self) -> Option<i64> {
        self.digits().and_then(|digits| digits.parse().ok())
    }

    /// The number, if it is one, not negative, and fits.
    pub fn as_uint(self) -> Option<u64> {
        self.digits().and_then(|digits| digits.parse().ok())
    }

    /// The items, if it is a list.
    pub fn as_list(self) -> Option<Items<'t, 'a>> {
        (self.kind() == Kind::List).then_some(Items { of: self, next: self.number + 1 })
    }

    /// The entries, if it is a dictionary.
    pub fn as_dict(self) -> Option<Dict<'t, 'a>> {
        (self.kind() == Kind::Dict).then_some(Dict(self))
    }

    /// The content of a string.
    pub fn bytes(self) -> Result<&'a [u8], BencodeError> {
        self.bytes_of(ANONYMOUS)
    }

    /// A number.
    pub fn int(self) -> Result<i64, BencodeError> {
        self.int_of(ANONYMOUS)
    }

    /// A number that is not negative.
    pub fn uint(self) -> Result<u64, BencodeError> {
        self.uint_of(ANONYMOUS)
    }

    /// The items of a list.
    pub fn list(self) -> Result<Items<'t, 'a>, BencodeError> {
        self.list_of(ANONYMOUS)
    }

    /// The entries of a dictionary.
    pub fn dict(self) -> Result<Dict<'t, 'a>, BencodeError> {
        self.dict_of(ANONYMOUS)
    }

    /// The content of a string that an error calls `key`.
    pub fn bytes_of(self, key: &'static str) -> Result<&'a [u8], BencodeError> {
        self.as_bytes().ok_or(self.wrong(key, "a string"))
    }

    /// A string that must be UTF-8, that an error calls `key`.
    pub fn str_of(self, key: &'static str) -> Result<&'a str, BencodeError> {
        self.as_str().ok_or(self.wrong(key, "a string of UTF-8"))
    }

    /// A number that an error calls `key`.
    pub fn int_of(self, key: &'static str) -> Result<i64, BencodeError> {
        self.as_int().ok_or_else(|| self.not_a_number(key))
    }

    /// A number that is not negative, that an error calls `key`.
    pub fn uint_of(self, key: &'static str) -> Result<u64, BencodeError> {
        self.as_uint().ok_or_else(|| self.not_a_number(key))
    }

    /// The items of a list that an error calls `key`.
    pub fn list_of(self, key: &'static str) -> Result<Items<'t, 'a>, BencodeError> {
        self.as_list().ok_or(self.wrong(key, "a list"))
    }

    /// The entries of a dictionary that an error calls `key`.
    pub fn dict_of(self, key: &'static str) -> Result<Dict<'t, 'a>, BencodeError> {
        self.as_dict().ok_or(self.wrong(key, "a dictionary"))
    }

    fn digits(self) -> Option<&'a str> {
        let digits = self.input.get(self.token.data as usize..(self.token.end as usize).checked_sub(1)?)?;
        if self.kind() == Kind::Integer { core::str::from_utf8(digits).ok() } else { None }
    }

    fn not_a_number(self, key: &'static str) -> BencodeError {
        match self.kind() {
            Kind::Integer => BencodeError::new(self.offset(), BencodeErrorKind::Range(key)),
            Kind::Bytes | Kind::List | Kind::Dict => self.wrong(key, "an integer"),
        }
    }

    fn wrong(self, key: &'static str, expected: &'static str) -> BencodeError {
        BencodeError::new(self.offset(), BencodeErrorKind::Type { key, expected })
    }
}

/// The items of a list, in order.
#[derive(Clone, Copy, Debug)]
pub struct Items<'t, 'a> {
    of: Value<'t, 'a>,
    next: u32,
}

impl<'t, 'a> Iterator for Items<'t, 'a> {
    type Item = Value<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.of.token.next {
            return None;
        }
        let item = self.of.at(self.next)?;
        self.next = item.token.next;
        Some(item)
    }
}

/// The entries of a dictionary, in the input's order.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'t, 'a>(Items<'t, 'a>);

impl<'t, 'a> Iterator for Entries<'t, 'a> {
    type Item = (&'a [u8], Value<'t, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?;
        Some((key.as_bytes().unwrap_or_default(), self.0.next()?))
    }
}

/// A dictionary. Look-ups walk its entries: ask for each key once, and iterate where strangers choose the keys.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'t, 'a>(Value<'t, 'a>);

/// Typed look-ups: each comes as `x` (must be there) and `x_opt` (may be missing, but not of another type).
macro_rules! typed {
    ($($(#[$doc:meta])* $name:ident $opt:ident $of:ident -> $type:ty),* $(,)?) => {$(
        $(#[$doc])*
        /// Missing, or of another type, is an error that names the key and its offset.
        pub fn $name(self, key: &'static str) -> Result<$type, BencodeError> {
            self.need(key)?.$of(key)
        }

        $(#[$doc])*
        /// `None` if missing; of another type is an error that names the key and its offset.
        pub fn $opt(self, key: &'static str) -> Result<Option<$type>, BencodeError> {
            self.get(key.as_bytes()).map(|value| value.$of(key)).transpose()
        }
    )*};
}

impl<'t, 'a> Dict<'t, 'a> {
    /// The value of a key, if it is there.
    pub fn get(self, key: &[u8]) -> Option<Value<'t, 'a>> {
        self.iter().find(|&(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    pub fn need(self, key: &'static str) -> Result<Value<'t, 'a>, BencodeError> {
        let missing = BencodeError::new(self.0.offset(), BencodeErrorKind::Missing(key));
        self.get(key.as_bytes()).ok_or(missing)
    }

    /// All entries, in the input's order.
    pub fn iter(self) -> Entries<'t, 'a> {
        Entries(Items { of: self.0, next: self.0.number + 1 })
    }

    /// The dictionary as a value: its span and offset.
    pub fn value(self) -> Value<'t, 'a> {
        self.0
    }

    typed! {
        /// A string's content.
        bytes bytes_opt bytes_of -> &'a [u8],
        /// A string that must be UTF-8.
        str str_opt str_of -> &'a str,
        /// A number.
        int int_opt int_of -> i64,
        /// A number that is not negative.
        uint uint_opt uint_of -> u64,
        /// A list's items.
        list list_opt list_of -> Items<'t, 'a>,
        /// A dictionary.
        dict dict_opt dict_of -> Dict<'t, 'a>,
    }
}
