//! The embedded store for Python: words in, a reply as Python's own types out.
//!
//! The methods that users of redis-py know are written in Python (`kvik/__init__.py`) on top of
//! this. The interpreter's lock is free while a command runs, so threads use the store at once.

use std::path::PathBuf;

use kvik::{Connection, Db, Options, Value};
use kvik_script::LuaEngine;
use parking_lot::Mutex;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyString, PyTuple};

create_exception!(_kvik, ResponseError, PyException, "A command was refused.");

/// An open store.
#[pyclass(frozen)]
struct Store(Db);

/// A session with a store: keeps SELECT, MULTI and WATCH.
#[pyclass(frozen)]
struct Session(Mutex<Connection>);

#[pymethods]
impl Store {
    /// Opens a store in a directory, or in memory without one.
    #[new]
    #[pyo3(signature = (path=None))]
    fn open(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let options = Options::default().scripts(LuaEngine::shared());
        let Some(path) = path else {
            return Ok(Self(Db::in_memory(options)));
        };
        let db = py.detach(|| {
            std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
            Db::open(options.dir(path)).map_err(|error| error.to_string())
        });
        db.map(Self).map_err(PyOSError::new_err)
    }

    /// Runs a command.
    fn execute<'py>(
        &self,
        py: Python<'py>,
        words: &Bound<'py, PyTuple>,
        decode: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let words = bytes_of(words)?;
        let reply = py.detach(|| self.0.run(&words));
        whole_reply(py, &reply, decode)
    }

    /// Waits until everything so far is on disk.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let done = py.detach(|| self.0.commit());
        done.map_err(|error| PyOSError::new_err(format!("{error:?}")))
    }

    /// Opens a session.
    fn session(&self) -> Session {
        Session(Mutex::new(self.0.connect()))
    }
}

#[pymethods]
impl Session {
    /// Runs a command.
    fn execute<'py>(
        &self,
        py: Python<'py>,
        words: &Bound<'py, PyTuple>,
        decode: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let words = bytes_of(words)?;
        let reply = py.detach(|| self.0.lock().run(&words));
        whole_reply(py, &reply, decode)
    }
}

/// The words of a command. Numbers are written as Python writes them.
fn bytes_of(words: &Bound<'_, PyTuple>) -> PyResult<Vec<Vec<u8>>> {
    words.iter().map(|word| word_bytes(&word)).collect()
}

fn word_bytes(word: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = word.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if let Ok(text) = word.cast::<PyString>() {
        return Ok(text.to_cow()?.as_bytes().to_vec());
    }
    let is_number = word.is_instance_of::<PyInt>() || word.is_instance_of::<PyFloat>();
    if is_number && !word.is_instance_of::<PyBool>() {
        return Ok(word.repr()?.to_cow()?.as_bytes().to_vec());
    }
    let kind = word.get_type().name()?;
    let text = format!("a word is bytes, str, int or float, not {kind}");
    Err(PyTypeError::new_err(text))
}

/// A reply, of which an error is raised.
fn whole_reply<'py>(
    py: Python<'py>,
    reply: &Value,
    decode: bool,
) -> PyResult<Bound<'py, PyAny>> {
    match reply.as_error() {
        Some(error) => Err(ResponseError::new_err(
            String::from_utf8_lossy(error.as_bytes()).into_owned(),
        )),
        None => object(py, reply, decode),
    }
}

/// A reply as an object. An error within another reply is an exception that is not raised.
fn object<'py>(py: Python<'py>, reply: &Value, decode: bool) -> PyResult<Bound<'py, PyAny>> {
    let list = |each: &[Value]| -> PyResult<Bound<'py, PyAny>> {
        let each: PyResult<Vec<_>> = each.iter().map(|it| object(py, it, decode)).collect();
        Ok(PyList::new(py, each?)?.into_any())
    };
    Ok(match reply.plain() {
        Value::Null | Value::Attributed { .. } => py.None().into_bound(py),
        Value::Error(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            ResponseError::new_err(text).into_value(py).into_bound(py).into_any()
        }
        status if status.is_ok() => PyBool::new(py, true).to_owned().into_any(),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Double(number) => PyFloat::new(py, *number).into_any(),
        Value::Boolean(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::BigNumber(digits) => py.get_type::<PyInt>().call1((digits,))?,
        Value::Array(each) | Value::Push(each) => list(each)?,
        Value::Set(each) => {
            let made = list(each)?;
            // What holds lists cannot be a set of Python's.
            match PyFrozenSet::new(py, made.cast::<PyList>()?.iter()) {
                Ok(set) => set.into_any(),
                Err(_) => made,
            }
        }
        Value::Map(pairs) => {
            let map = PyDict::new(py);
            for (name, value) in pairs {
                map.set_item(object(py, name, decode)?, object(py, value, decode)?)?;
            }
            map.into_any()
        }
        text => {
            let bytes = text.as_bytes().unwrap_or_default();
            match std::str::from_utf8(bytes) {
                Ok(text) if decode => PyString::new(py, text).into_any(),
                _ => PyBytes::new(py, bytes).into_any(),
            }
        }
    })
}

#[pymodule]
fn _kvik(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Store>()?;
    module.add_class::<Session>()?;
    module.add("ResponseError", module.py().get_type::<ResponseError>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
