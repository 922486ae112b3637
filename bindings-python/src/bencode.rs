//! Bencode for Python (BEP 3): objects to bytes and back. The scanner is core's; integers are as long as Python has them.

use crate::bytes::take;
use crate::errors;
use crate::given::Int;
use millstream_core::wire::bencode::{BencodeLimits, Document, Entries, Items, Kind, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyInt, PyList, PyMapping, PyMemoryView, PySequence, PyString,
};

/// Digits of an integer; what is longer is refused, as Python itself does: reading them takes quadratic time.
const DIGITS_MAX: usize = 4300;

/// Longer inputs are read without the interpreter's lock. Bytes.
const LONG_BYTES: usize = 64 << 10;

/// No deeper nesting is taken or given, whatever the caller allows: encoding goes down the stack.
const DEPTH_MAX: u32 = 512;

/// Reads one value that fills the whole input: int, bytes, list, or dict with bytes for keys. Raises BencodeError.
#[pyfunction]
#[pyo3(signature = (data: "BytesLike", *, strict = true, depth_max = Int(64), items_max = Int(1_000_000)) -> "Any",
    text_signature = "(data, *, strict=True, depth_max=64, items_max=1000000)")]
pub(crate) fn decode<'py>(
    data: &Bound<'py, PyAny>,
    strict: bool,
    depth_max: Int<u32>,
    items_max: Int<u32>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, bytes) = (data.py(), take(data)?);
    let limits = BencodeLimits { depth_max: depth_max.0.min(DEPTH_MAX), nodes_max: items_max.0 };
    let read = || Document::decode_within(&bytes, &limits);
    // the objects are made with the interpreter, but a long input is understood without it
    let document = if bytes.len() > LONG_BYTES { py.detach(read) } else { read() }
        .map_err(|error| errors::bencode(py, &error.kind, Some(error.offset)))?;
    build(py, document.root(), strict)
}

/// A container that is being filled.
enum Open<'t, 'a, 'py> {
    List(Bound<'py, PyList>, Items<'t, 'a>),
    Dict(Bound<'py, PyDict>, Entries<'t, 'a>, Option<&'a [u8]>),
}

fn build<'py>(py: Python<'py>, root: Value<'_, '_>, strict: bool) -> PyResult<Bound<'py, PyAny>> {
    let mut open: Vec<Open<'_, '_, 'py>> = Vec::new();
    let result = begin(py, root, &mut open)?;
    while let Some(top) = open.last_mut() {
        let (value, place) = match top {
            Open::List(list, items) => {
                let Some(item) = items.next() else {
                    open.pop();
                    continue;
                };
                (item, Place::Item(list.clone()))
            }
            Open::Dict(dict, entries, before) => {
                let Some((key, value)) = entries.next() else {
                    open.pop();
                    continue;
                };
                if strict && before.is_some_and(|before| before > key) {
                    let at = value.offset() - key.len() - 1 - key.len().to_string().len();
                    return Err(errors::bencode(py, &"a dictionary's keys are not sorted", Some(at)));
                }
                *before = Some(key);
                (value, Place::Entry(dict.clone(), PyBytes::new(py, key)))
            }
        };
        let made = begin(py, value, &mut open)?;
        match place {
            Place::Item(list) => list.append(made)?,
            Place::Entry(dict, key) => dict.set_item(key, made)?,
        }
    }
    Ok(result)
}

enum Place<'py> {
    Item(Bound<'py, PyList>),
    Entry(Bound<'py, PyDict>, Bound<'py, PyBytes>),
}

/// The object of a value; a container is empty yet, and open.
fn begin<'t, 'a, 'py>(
    py: Python<'py>,
    value: Value<'t, 'a>,
    open: &mut Vec<Open<'t, 'a, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    match value.kind() {
        Kind::Bytes => Ok(PyBytes::new(py, value.as_bytes().unwrap_or_default()).into_any()),
        Kind::Integer => integer(py, value),
        Kind::List => {
            let list = PyList::empty(py);
            if let Some(items) = value.as_list() {
                open.push(Open::List(list.clone(), items));
            }
            Ok(list.into_any())
        }
        Kind::Dict => {
            let dict = PyDict::new(py);
            if let Some(entries) = value.as_dict() {
                open.push(Open::Dict(dict.clone(), entries.iter(), None));
            }
            Ok(dict.into_any())
        }
    }
}

fn integer<'py>(py: Python<'py>, value: Value<'_, '_>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(small) = value.as_int() {
        return Ok(small.into_pyobject(py)?.into_any());
    }
    let raw = value.raw();
    let digits = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if digits.len() > DIGITS_MAX {
        let message = format!("an integer of {} digits", digits.len());
        return Err(errors::bencode(py, &message, Some(value.offset())));
    }
    py.get_type::<PyInt>().call1((PyBytes::new(py, digits),))
}

/// The bencoding of ints, bytes-like objects, text (as UTF-8), lists, tuples and dicts whose keys are bytes or text.
/// Raises TypeError for what has none, BencodeError for two keys that are the same and for what is nested too deep.
#[pyfunction]
#[pyo3(signature = (value: "Bencodable"))]
pub(crate) fn encode<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    write(value, &mut out, DEPTH_MAX)?;
    Ok(PyBytes::new(value.py(), &out))
}

/// Appends the bencoding of a value.
pub(crate) fn write(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: u32) -> PyResult<()> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        string(out, bytes.as_bytes());
    } else if let Ok(text) = value.cast::<PyString>() {
        string(out, &text_bytes(text)?);
    } else if value.is_instance_of::<PyInt>() {
        number(value, out)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        let depth = deeper(value, depth)?;
        write_dict(dict, out, depth)?;
    } else if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        string(out, &take(value)?);
    } else if let Ok(items) = value.cast::<PySequence>() {
        let depth = deeper(value, depth)?;
        out.push(b'l');
        for item in items.try_iter()? {
            write(&item?, out, depth)?;
        }
        out.push(b'e');
    } else if let Ok(mapping) = value.cast::<PyMapping>() {
        let (dict, depth) = (PyDict::new(value.py()), deeper(value, depth)?);
        dict.update(mapping)?;
        write_dict(&dict, out, depth)?;
    } else {
        return Err(no_bencode(value));
    }
    Ok(())
}

fn write_dict(dict: &Bound<'_, PyDict>, out: &mut Vec<u8>, depth: u32) -> PyResult<()> {
    let mut entries = Vec::with_capacity(dict.len());
    for (key, value) in dict.iter() {
        entries.push((key_bytes(&key)?, value));
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push(b'd');
    let mut before: Option<&[u8]> = None;
    for (key, value) in &entries {
        if before == Some(key) {
            return Err(errors::bencode(dict.py(), &"a dictionary has the same key twice", None));
        }
        before = Some(key);
        string(out, key);
        write(value, out, depth)?;
    }
    out.push(b'e');
    Ok(())
}

fn key_bytes(key: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    match key.cast::<PyString>() {
        Ok(text) => text_bytes(text),
        Err(_) => Err(PyTypeError::new_err(format!(
            "a dictionary's keys are bytes or text, not {}",
            key.get_type().name()?
        ))),
    }
}

fn text_bytes(text: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    let bytes =
        text.encode_utf8().map_err(|_| errors::bencode(text.py(), &"text that is no Unicode", None))?;
    Ok(bytes.as_bytes().to_vec())
}

fn number(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    out.push(b'i');
    if let Ok(small) = value.extract::<i64>() {
        out.extend_from_slice(small.to_string().as_bytes());
    } else {
        // by `int`, since a subclass may show itself in other words
        let text = value.py().get_type::<PyInt>().call_method1("__repr__", (value,));
        let text = text.map_err(|_| errors::bencode(value.py(), &"an integer has too many digits", None))?;
        out.extend_from_slice(text.cast::<PyString>()?.encode_utf8()?.as_bytes());
    }
    out.push(b'e');
    Ok(())
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn deeper(value: &Bound<'_, PyAny>, depth: u32) -> PyResult<u32> {
    let none = || errors::bencode(value.py(), &"values are nested too deep", None);
    depth.checked_sub(1).ok_or_else(none)
}

fn no_bencode(value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(name) => PyTypeError::new_err(format!("{name} has no bencoding")),
        Err(error) => error,
    }
}
