//! Several clients of one store, lent to whoever needs one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use kvik_resp::Protocol;

use crate::client::{ClientError, Options};
use crate::store::{Place, Store};

/// Lends clients of one store to threads, up to a number of them at once. They are opened as they
/// are needed, and kept; one that is given back with something left in it (a broken connection,
/// another database, a watch) is dropped.
///
/// ```
/// use kvik_client::Pool;
///
/// let pool = Pool::open("mem://pooled", 4)?;
/// std::thread::scope(|scope| {
///     for _ in 0..8 {
///         scope.spawn(|| pool.get().unwrap().incr("n").unwrap());
///     }
/// });
/// assert_eq!(pool.get()?.get("n")?, Some(b"8".to_vec()));
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
pub struct Pool {
    place: Place,
    size: usize,
    lending: Mutex<Lending>,
    returned: Condvar,
}

#[derive(Default)]
struct Lending {
    idle: Vec<Store>,
    lent: usize,
}

/// A client that goes back to its pool when it is dropped.
pub struct PooledStore<'a> {
    pool: &'a Pool,
    /// None once it has been given back.
    client: Option<Store>,
}

impl Pool {
    /// A pool of at most `size` clients, at least one, of the store at `url`.
    ///
    /// # Errors
    /// As [`Store::open`], though a server is only connected to by [`Self::get`].
    pub fn open(url: &str, size: usize) -> Result<Self, ClientError> {
        let options = Options {
            protocol: Protocol::Resp3,
            ..Options::default()
        };
        Self::open_with(url, &options, size)
    }

    /// The same with time limits and a protocol.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(url: &str, options: &Options, size: usize) -> Result<Self, ClientError> {
        Ok(Self::at(Place::find(url.parse()?, options)?, size))
    }

    pub(crate) fn at(place: Place, size: usize) -> Self {
        Self {
            place,
            size: size.max(1),
            lending: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// A client, as soon as there is one to lend.
    ///
    /// # Errors
    /// If a new one is needed and cannot be opened.
    pub fn get(&self) -> Result<PooledStore<'_>, ClientError> {
        let mut lending = self.lock();
        while lending.lent == self.size {
            let waited = self.returned.wait(lending);
            lending = waited.unwrap_or_else(PoisonError::into_inner);
        }
        lending.lent += 1;
        let idle = lending.idle.pop();
        drop(lending);
        let client = match idle {
            Some(client) => Ok(client),
            None => Store::at(self.place.clone()),
        };
        match client {
            Ok(client) => Ok(PooledStore {
                pool: self,
                client: Some(client),
            }),
            Err(error) => {
                self.take_back(None);
                Err(error)
            }
        }
    }

    fn take_back(&self, client: Option<Store>) {
        let mut lending = self.lock();
        lending.lent -= 1;
        lending.idle.extend(client);
        self.returned.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Lending> {
        self.lending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for PooledStore<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.client
            .as_ref()
            .expect("it is given back when it is dropped")
    }
}

impl DerefMut for PooledStore<'_> {
    fn deref_mut(&mut self) -> &mut Store {
        self.client
            .as_mut()
            .expect("it is given back when it is dropped")
    }
}

impl Drop for PooledStore<'_> {
    fn drop(&mut self) {
        let client = self.client.take().filter(Store::is_reusable);
        self.pool.take_back(client);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("place", &self.place)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PooledStore<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
