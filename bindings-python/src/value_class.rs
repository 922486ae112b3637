//! Values as Python has them: frozen classes that are compared, hashed, pickled, shown and matched on by their fields.
//! What Python sees of a field is made when it is looked at, so that making a value costs next to nothing. Values that
//! were let go leave their memory to the next ones, a thousand of each class: as many as a batch has.

use crate::given::given;
use crate::values::{address, take_address};
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyString, PyTuple};
use std::hash::DefaultHasher;
use std::sync::Arc;

/// A field of a value: kept in Rust's form, shown in Python's.
pub(crate) trait Field: Sized {
    /// What Python sees.
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// What Python gave.
    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self>;
}

/// Defines a class for each value: its doc, its name, its fields and their types, and what follows from them. They are
/// found in `millstream._values`, unless told.
macro_rules! value_classes {
    (#[doc = $doc:literal] $($rest:tt)+) => {
        $crate::value_class::value_classes! { in "millstream._values"; #[doc = $doc] $($rest)+ }
    };
    (in $module:literal; $($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $type:ty),* $(,)? } $(with { $($more:item)+ })?)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, PartialEq, Eq, Hash)]
            #[pyo3::pyclass(frozen, freelist = 1024, module = $module)]
            pub(crate) struct $name { $(pub(crate) $field: $type),* }

            #[pyo3::pymethods]
            impl $name {
                #[new]
                #[allow(clippy::too_many_arguments, reason = "as many as it has fields; Python gives them by name")]
                fn new($($field: &pyo3::Bound<'_, pyo3::PyAny>),*) -> pyo3::PyResult<Self> {
                    Ok(Self { $($field: $crate::value_class::Field::take($field)
                        .map_err(|error| $crate::given::about(stringify!($field), $field, error))?),* })
                }

                #[classattr]
                fn __match_args__(py: pyo3::Python<'_>) -> pyo3::PyResult<pyo3::Py<pyo3::types::PyTuple>> {
                    let names: &[&str] = &[$(stringify!($field)),*];
                    Ok(pyo3::types::PyTuple::new(py, names)?.unbind())
                }

                $(
                    #[getter]
                    fn $field<'py>(&self, py: pyo3::Python<'py>) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                        $crate::value_class::Field::show(&self.$field, py)
                    }
                )*

                fn __reduce__<'py>(
                    &self,
                    py: pyo3::Python<'py>,
                ) -> pyo3::PyResult<(pyo3::Bound<'py, pyo3::types::PyType>, pyo3::Bound<'py, pyo3::types::PyTuple>)> {
                    Ok((py.get_type::<Self>(), self.fields(py)?))
                }

                $($($more)+)?

                // Not by the class's options: those can't be had together with a free list.
                fn __eq__(&self, other: &Self) -> bool {
                    self == other
                }

                fn __hash__(&self) -> u64 {
                    $crate::value_class::hash_of(self)
                }

                fn __repr__(&self, py: pyo3::Python<'_>) -> pyo3::PyResult<String> {
                    let names: &[&str] = &[$(stringify!($field)),*];
                    $crate::value_class::shown(stringify!($name), names, &self.fields(py)?)
                }
            }

            impl $name {
                fn fields<'py>(&self, py: pyo3::Python<'py>) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::types::PyTuple>> {
                    let fields: Vec<pyo3::Bound<'py, pyo3::PyAny>> =
                        vec![$($crate::value_class::Field::show(&self.$field, py)?),*];
                    pyo3::types::PyTuple::new(py, fields)
                }
            }
        )+

        /// Puts the classes into the module.
        pub(crate) fn add_to(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
            use pyo3::types::PyModuleMethods;
            $(module.add_class::<$name>()?;)+
            Ok(())
        }
    };
}
pub(crate) use value_classes;

/// The hash of a value, the same for equal ones.
pub(crate) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A value in the form that would make it again.
pub(crate) fn shown(class: &str, names: &[&str], fields: &Bound<'_, PyTuple>) -> PyResult<String> {
    let mut text = format!("{class}(");
    for (n, (name, field)) in names.iter().zip(fields.iter()).enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}{name}={}", field.repr()?.to_cow()?));
    }
    text.push(')');
    Ok(text)
}

/// Bytes that are shared until Python looks at them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Raw(pub(crate) Arc<[u8]>);

impl Field for Raw {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBytes::new(py, &self.0).into_any())
    }

    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(crate::bytes::take(object)?.into()))
    }
}

impl Field for SocketAddr {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(address(*self).into_pyobject(py)?.into_any())
    }

    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        take_address(object)
    }
}

impl Field for Arc<str> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyString::new(py, self).into_any())
    }

    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(object.cast::<PyString>()?.to_cow()?.into())
    }
}

impl Field for bool {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBool::new(py, *self).to_owned().into_any())
    }

    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        object.extract()
    }
}

macro_rules! plain {
    ($($type:ty),+) => {$(
        impl Field for $type {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(self.clone().into_pyobject(py)?.into_any())
            }

            fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
                given(object)
            }
        }
    )+};
}

plain!(u16, u32, u64, i64, usize, (u64, u64), String, Option<String>);
