//! Libraries of functions: all that FUNCTION LOAD has loaded.
//!
//! A [`FunctionSet`] does not change; who loads or deletes a library puts another one in its place.
//! So whoever runs a function keeps the library that it found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::flags::ScriptFlags;
use super::interpreter::Interpreter;
use super::program::{Program, ProgramCode};
use super::shebang;
use crate::error::Error;

/// A function as a library registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// A text for people.
    pub description: Option<Vec<u8>>,
    /// The flags that it declares.
    pub flags: ScriptFlags,
}

/// A library.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// The source, as it was loaded.
    pub source: Box<[u8]>,
    /// Where the code begins: at the end of the first line.
    pub body: usize,
    /// Its functions.
    pub functions: Vec<Function>,
}

impl Library {
    /// A library from its source, whose code is run to learn its functions.
    ///
    /// # Errors
    /// The fault of the library.
    pub(super) fn load(
        source: &[u8],
        interpreter: &mut dyn Interpreter,
        steps: u64,
    ) -> Result<Self, Error> {
        let header = shebang::of_library(source)?;
        if !is_name(&header.name) {
            return Err(Error::text(INVALID_NAME));
        }
        if !header.engine.eq_ignore_ascii_case(b"lua") {
            return Err(Error::quoting(&[
                b"Engine '",
                &header.engine,
                b"' not found",
            ]));
        }
        let functions = interpreter
            .register(&source[header.length..], steps)
            .map_err(|text| Error::quoting(&[&text]))?;
        if functions.is_empty() {
            return Err(Error::text("No functions registered"));
        }
        Ok(Self {
            // Names are ASCII.
            name: String::from_utf8_lossy(&header.name).into_owned(),
            source: source.into(),
            body: header.length,
            functions,
        })
    }

    /// The same where nobody can run its code: a library without functions.
    ///
    /// # Errors
    /// If its first line is wrong.
    pub(super) fn opaque(source: &[u8]) -> Result<Self, Error> {
        let header = shebang::of_library(source)?;
        Ok(Self {
            name: String::from_utf8_lossy(&header.name).into_owned(),
            source: source.into(),
            body: header.length,
            functions: Vec::new(),
        })
    }

    /// The code, from the end of the first line.
    pub fn code(&self) -> &[u8] {
        &self.source[self.body..]
    }
}

/// The reason for which a name of a library or a function is refused.
pub const INVALID_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be \
     at least one character long";

/// Whether a library or a function can have this name.
pub fn is_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !name.is_empty() && name.iter().all(fits)
}

/// The treatment of libraries that have the names of those that are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// They stay, and loading fails.
    Refuse,
    /// They are replaced.
    Replace,
}

/// The treatment of the libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restoring {
    /// They stay, but those whose names come again.
    Join(Conflict),
    /// They are deleted.
    Flush,
}

/// All libraries and their functions.
#[derive(Clone, Debug, Default)]
pub struct FunctionSet {
    libraries: BTreeMap<String, Arc<Library>>,
    /// By name in lower case.
    functions: HashMap<String, Arc<Program>>,
}

impl FunctionSet {
    /// The libraries, by name.
    pub fn libraries(&self) -> impl ExactSizeIterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    /// The number of functions.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether there are no functions.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// The function of this name, in any case.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Program>> {
        let name = std::str::from_utf8(name).ok()?;
        match self.functions.get(name) {
            // Names are kept in lower case, as most are written.
            None if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                self.functions.get(&name.to_ascii_lowercase())
            }
            found => found,
        }
    }

    /// Bytes of sources, names and descriptions.
    pub fn bytes(&self) -> usize {
        let function = |it: &Function| it.name.len() + it.description.as_ref().map_or(0, Vec::len);
        let library =
            |it: &Arc<Library>| it.source.len() + it.functions.iter().map(function).sum::<usize>();
        self.libraries.values().map(library).sum()
    }

    /// Adds a library.
    ///
    /// # Errors
    /// If its name or that of a function is taken. The set is as it was then.
    pub(super) fn add(&mut self, library: Library, conflict: Conflict) -> Result<(), Error> {
        let name = library.name.clone();
        if self.libraries.contains_key(&name) && conflict == Conflict::Refuse {
            return Err(Error::new(format!("Library '{name}' already exists")));
        }
        let taken = |function: &&Function| {
            let owner = self.functions.get(&function.name.to_ascii_lowercase());
            owner.is_some_and(|it| library_of(it) != Some(&name))
        };
        if let Some(function) = library.functions.iter().find(taken) {
            let name = &function.name;
            return Err(Error::new(format!("Function {name} already exists")));
        }
        self.remove(&name);
        let library = Arc::new(library);
        for function in &library.functions {
            let program = Program::function(Arc::clone(&library), function);
            let name = function.name.to_ascii_lowercase();
            self.functions.insert(name, Arc::new(program));
        }
        self.libraries.insert(name, library);
        Ok(())
    }

    /// Takes a library out; says whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else {
            return false;
        };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        true
    }

    /// Whether there is a library of this name.
    pub(super) fn has_library(&self, name: &str) -> bool {
        self.libraries.contains_key(name)
    }
}

fn library_of(program: &Arc<Program>) -> Option<&String> {
    match &program.origin {
        ProgramCode::Function { library, .. } => Some(&library.name),
        ProgramCode::Script { .. } => None,
    }
}
