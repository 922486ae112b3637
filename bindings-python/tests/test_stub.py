"""The tool that writes the stub of the native half: what it makes of Rust, and that what it can't know it doesn't
guess."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).parents[1] / "stub.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("stub_tool", TOOL)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["stub_tool"] = made
    spec.loader.exec_module(made)
    return made


stub = load()


def of_class(rust: str) -> str:
    """The stub of the first class."""
    return str(stub.block(next(iter(stub.classes("x.rs", rust)))))


def test_the_committed_stub_is_what_the_sources_say() -> None:
    assert stub.STUB.read_text() == stub.stub(), "bindings-python/stub.py writes it"


@pytest.mark.parametrize(
    ("rust", "python"),
    [
        ("&str", "str"),
        ("Int<u64>", "int"),
        ("Option<Int<u16>>", "int | None"),
        ("PyResult<Option<Bound<'py, PyBytes>>>", "bytes | None"),
        ("(u64, Option<String>)", "tuple[int, str | None]"),
        ("BTreeMap<&'static str, Vec<(String, u16)>>", "dict[str, list[tuple[str, int]]]"),
        ("Option<[u8; 20]>", "bytes | None"),
        ("PyResult<()>", "None"),
        ("&Bound<'_, PyAny>", None),
        ("Option<&Bound<'_, PyDict>>", None),
        ("Bound<'py, PyList>", None),
    ],
)
def test_a_type_is_told_if_rust_says_it_all(rust: str, python: str | None) -> None:
    assert stub.python_type(rust) == python


def test_a_class_has_its_methods_with_names_defaults_and_types() -> None:
    made = of_class(
        """
#[pyclass(frozen, eq, hash, module = "m")]
pub(crate) struct Thing {
    #[pyo3(get)]
    pub(crate) size: u32,
}

#[pymethods]
impl Thing {
    /// Its doc (with "brackets{" and 'a lifetime.
    #[new]
    #[pyo3(signature = (kind: "Literal['a', 'b']", *, many = Int(1 << 20), few = 3, **settings: "Unpack[Settings]"))]
    fn new(kind: &str, many: Int<u32>, few: u8, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self { size: b'}'.into() })
    }

    fn act<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyBytes>> { made("}") }

    // stub: tuple[Address, ...]
    #[getter]
    fn all<'py>(&self, py: Python<'py>) -> Bound<'py, PyTuple> { made() }

    #[staticmethod]
    #[pyo3(name = "get")]
    fn got(name: Option<String>) -> Vec<u8> { made() }

    fn __repr__(&self) -> String { made() }
}
"""
    )
    assert made == "\n".join(
        [
            "@final",
            "class Thing:",
            "    def __new__(",
            "        cls,",
            "        kind: Literal['a', 'b'],",
            "        *,",
            "        many: int = ...,",
            "        few: int = 3,",
            "        **settings: Unpack[Settings],",
            "    ) -> Thing: ...",
            "    @property",
            "    def size(self) -> int: ...",
            "    def act(self, now: float) -> bytes: ...",
            "    @property",
            "    def all(self) -> tuple[Address, ...]: ...",
            "    @staticmethod",
            "    def get(name: str | None) -> list[int]: ...",
            "    def __eq__(self, other: object, /) -> bool: ...",
            "    def __hash__(self) -> int: ...",
        ]
    )


@pytest.mark.parametrize(
    "method",
    [
        "fn f(&self, data: &Bound<'_, PyAny>) {}",
        "fn f(&self) -> PyResult<Bound<'_, PyList>> { made() }",
        "#[getter]\n    fn f(&self) -> Py<PyAny> { made() }",
    ],
)
def test_what_rust_does_not_say_is_asked_for(method: str) -> None:
    rust = f"#[pyclass(frozen)]\nstruct Thing {{}}\n\n#[pymethods]\nimpl Thing {{\n    {method}\n}}\n"
    with pytest.raises(stub.Wrong, match="of what type is .*f"):
        of_class(rust)


def test_values_have_what_follows_from_their_fields() -> None:
    rust = """value_classes! {
    /// A doc.
    Told { torrent: u64, address: SocketAddr, raw: Raw }

    /// Nothing.
    Ended {}
}
"""
    told, ended = (str(stub.block(each)) for each in stub.value_classes("x.rs", rust))
    assert '__match_args__ = ("torrent", "address", "raw")' in told
    assert "def __new__(cls, torrent: int, address: Address, raw: BytesLike) -> Told: ..." in told
    assert "def raw(self) -> bytes: ..." in told
    assert "__match_args__ = ()" in ended


def test_a_type_that_nobody_knows_is_told() -> None:
    with pytest.raises(stub.Wrong, match="nobody knows Nowhere:"):
        stub.imports("def f(a: Nowhere, b: int) -> Address: ...", set())
