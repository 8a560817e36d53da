//! The stores of this process that clients share: by name in memory, by directory in files.
//!
//! A store is open as long as a client has it. The last one closes it, and whoever opens it
//! meanwhile waits for that, so that its files are never opened twice.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use kvik::Db;

use crate::ClientError;

/// How a store is found again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum StoreName {
    Memory(String),
    Files(PathBuf),
}

#[derive(Default)]
struct OpenStores {
    stores: Mutex<Option<HashMap<StoreName, Weak<SharedStore>>>>,
    closed: Condvar,
}

static OPEN: OpenStores = OpenStores {
    stores: Mutex::new(None),
    closed: Condvar::new(),
};

/// A store that closes with its last client.
pub(crate) struct SharedStore {
    /// None while it closes.
    db: Option<Db>,
    name: Option<StoreName>,
    /// The program has a handle of its own.
    is_given: bool,
}

impl SharedStore {
    /// A store that nobody else sees.
    pub(crate) fn fresh() -> Arc<Self> {
        Arc::new(Self {
            db: Some(Db::memory()),
            name: None,
            is_given: false,
        })
    }

    /// A store that the program has opened itself.
    pub(crate) fn given(db: Db) -> Arc<Self> {
        Arc::new(Self {
            db: Some(db),
            name: None,
            is_given: true,
        })
    }

    /// The store in memory that has this name.
    pub(crate) fn named(name: &str) -> Arc<Self> {
        let open = || Ok::<_, ClientError>(Db::memory());
        // Nothing can refuse it.
        share(StoreName::Memory(name.to_owned()), open).unwrap_or_else(|_| Self::fresh())
    }

    /// The store whose files lie in this directory, which is made if it is not there.
    pub(crate) fn in_files(directory: &Path) -> Result<Arc<Self>, ClientError> {
        let failed = |error: std::io::Error| ClientError::Open {
            directory: directory.to_owned(),
            reason: error.to_string(),
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let path = directory.canonicalize().map_err(failed)?;
        share(StoreName::Files(path.clone()), || {
            Db::open(path.clone()).map_err(|error| ClientError::Open {
                directory: directory.to_owned(),
                reason: error.to_string(),
            })
        })
    }

    pub(crate) fn db(&self) -> &Db {
        self.db
            .as_ref()
            .expect("it is closed only when it is dropped")
    }

    /// Whether only this client, and those made from it, can reach it.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name.is_none() && !self.is_given
    }
}

/// The store of this name, which is opened unless it is.
fn share(
    name: StoreName,
    open: impl FnOnce() -> Result<Db, ClientError>,
) -> Result<Arc<SharedStore>, ClientError> {
    let mut stores = lock();
    loop {
        let known = stores.get_or_insert_default().get(&name);
        match known.map(Weak::upgrade) {
            Some(Some(store)) => return Ok(store),
            // Its last client is closing it.
            Some(None) => {
                let waited = OPEN.closed.wait(stores);
                stores = waited.unwrap_or_else(PoisonError::into_inner);
            }
            None => break,
        }
    }
    let store = Arc::new(SharedStore {
        db: Some(open()?),
        name: Some(name.clone()),
        is_given: false,
    });
    let stores = stores.get_or_insert_default();
    stores.insert(name, Arc::downgrade(&store));
    Ok(store)
}

fn lock() -> MutexGuard<'static, Option<HashMap<StoreName, Weak<SharedStore>>>> {
    OPEN.stores.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for SharedStore {
    fn drop(&mut self) {
        drop(self.db.take());
        if let Some(name) = &self.name {
            lock().get_or_insert_default().remove(name);
            OPEN.closed.notify_all();
        }
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
