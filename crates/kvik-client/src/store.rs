//! A client of any store: typed methods, whatever the URL.
//!
//! Behind a socket a [`Store`] has one connection. Where that has broken, the next command is sent
//! over a new one, which is told the database; a command whose reply is missing is never sent
//! again, as it may have been executed. What else was lost with the connection is reported:
//! [`ClientError::StateLost`].
//!
//! In a cluster it has one connection to each node that it has needed, and each command goes to the
//! node that has its keys. The commands of a pipeline are in order for each node; a transaction and
//! a watch belong to one node, that of their first key.

use std::sync::Arc;
use std::time::Duration;

use kvik::Connection as EmbeddedSession;
use kvik_resp::{Args, ArgsBuf, Protocol, Value};

use crate::batch::{Pipeline, Transaction};
use crate::client::{Client, ClientError, Options};
use crate::cluster::ClusterLink;
use crate::endpoint::Endpoint;
use crate::from_reply::FromReply;
use crate::pool::Pool;
use crate::stores::SharedStore;
use crate::subscriber::Subscriber;
use crate::target::Target;

/// A store that was found, to which further clients can be made.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Store(Arc<SharedStore>),
    Server(Box<Endpoint>, Options),
    Cluster(Arc<[Endpoint]>, Options),
}

impl Place {
    pub(crate) fn find(target: Target, options: &Options) -> Result<Self, ClientError> {
        Ok(match target {
            Target::Memory(None) => Self::Store(SharedStore::fresh()),
            Target::Memory(Some(name)) => Self::Store(SharedStore::named(&name)),
            Target::Files(directory) => Self::Store(SharedStore::in_files(&directory)?),
            Target::Server(endpoint) => Self::Server(Box::new(endpoint), options.clone()),
            Target::Cluster(nodes) => Self::Cluster(nodes.into(), options.clone()),
        })
    }
}

/// How a client reaches its store.
enum Link {
    /// In this process. The session ends before the store may.
    Embedded {
        session: Box<EmbeddedSession>,
        /// It is in database 0 and in no transaction, so that methods of the store itself do the
        /// same as commands.
        is_plain: bool,
        store: Arc<SharedStore>,
    },
    Socket(Box<Client>),
    Cluster(Box<ClusterLink>),
}

/// A client of a store: in this process, or a server's.
///
/// One is used by one thread at a time; a [`Pool`] hands out several.
///
/// ```
/// use kvik_client::Store;
///
/// let mut client = Store::open("mem://")?;
/// client.set("greeting", "hello")?;
/// assert_eq!(client.get("greeting")?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!(client.rpush("list", &["a", "b"])?, 2);
/// assert_eq!(client.lrange("list", 0, -1)?, [b"a", b"b"]);
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
pub struct Store {
    place: Place,
    link: Link,
    /// The database that a new connection selects.
    database: u32,
    /// Keys are watched.
    is_watching: bool,
    words: ArgsBuf,
}

impl Store {
    /// Opens the store at `url` (see [`Target`]): finds or makes one in this process, or connects
    /// to a server and asks it for RESP3.
    ///
    /// # Errors
    /// If the URL is none, the files cannot be opened ([`ClientError::Open`]), for example because
    /// another process has them open, or the server cannot be reached or refuses the account.
    pub fn open(url: &str) -> Result<Self, ClientError> {
        let options = Options {
            protocol: Protocol::Resp3,
            ..Options::default()
        };
        Self::open_with(url, &options)
    }

    /// The same with time limits and a protocol, which only sockets have.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(url: &str, options: &Options) -> Result<Self, ClientError> {
        Self::at(Place::find(url.parse()?, options)?)
    }

    pub(crate) fn at(place: Place) -> Result<Self, ClientError> {
        let (link, database) = match &place {
            Place::Store(store) => return Ok(Self::embedded(Arc::clone(store))),
            Place::Server(endpoint, options) => {
                let connection = Client::open(endpoint, options)?;
                (Link::Socket(Box::new(connection)), endpoint.db)
            }
            Place::Cluster(nodes, options) => {
                let link = ClusterLink::open(nodes, options)?;
                (Link::Cluster(Box::new(link)), 0)
            }
        };
        Ok(Self {
            place,
            link,
            database,
            is_watching: false,
            words: ArgsBuf::new(),
        })
    }

    fn embedded(store: Arc<SharedStore>) -> Self {
        let link = Link::Embedded {
            session: Box::new(store.db().connect()),
            is_plain: true,
            store: Arc::clone(&store),
        };
        Self {
            place: Place::Store(store),
            link,
            database: 0,
            is_watching: false,
            words: ArgsBuf::new(),
        }
    }

    /// Another client of the same store, in the database of its URL; also of a store in memory
    /// without a name.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn another(&self) -> Result<Self, ClientError> {
        Self::at(self.place.clone())
    }

    /// A pool whose clients use the same store.
    pub fn pool(&self, size: usize) -> Pool {
        Pool::at(self.place.clone(), size)
    }

    /// A subscriber of channels of the same store, with a connection of its own.
    ///
    /// # Errors
    /// If the store is one in memory without a name, where nobody else could publish; otherwise as
    /// [`Self::open`].
    pub fn subscriber(&self) -> Result<Subscriber, ClientError> {
        Subscriber::at(&self.place)
    }

    /// Runs any command and returns its reply; an error is a value. A command that changes the
    /// state of the session, such as MULTI or SELECT, is better sent by the method for it.
    ///
    /// # Errors
    /// If the connection is lost, as [`Client::call`].
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Value, ClientError> {
        self.ready()?;
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        if let Link::Embedded { is_plain, .. } = &mut self.link {
            // It may have been one that binds the session.
            *is_plain = false;
        }
        self.run(&words)
    }

    fn run(&mut self, words: &[&[u8]]) -> Result<Value, ClientError> {
        match &mut self.link {
            Link::Embedded { session, .. } => Ok(session.run(words)),
            Link::Socket(connection) => connection.call(words),
            Link::Cluster(cluster) => cluster.call(words),
        }
    }

    fn run_args(&mut self, args: Args<'_>) -> Result<Value, ClientError> {
        if let Link::Embedded { session, .. } = &mut self.link {
            return Ok(session.run_args(args));
        }
        let words: Vec<&[u8]> = args.iter().collect();
        self.run(&words)
    }

    /// Runs the command whose words `fill` writes.
    pub(crate) fn query<T: FromReply>(
        &mut self,
        fill: impl FnOnce(&mut ArgsBuf),
    ) -> Result<T, ClientError> {
        self.ready()?;
        let mut buffer = std::mem::take(&mut self.words);
        buffer.clear();
        fill(&mut buffer);
        let reply = self.run_args(buffer.as_args());
        self.words = buffer;
        T::from_reply(reply?)
    }

    /// The same for one that waits at the server for so long; zero is for ever.
    pub(crate) fn query_waiting<T: FromReply>(
        &mut self,
        at_most: Duration,
        fill: impl FnOnce(&mut ArgsBuf),
    ) -> Result<T, ClientError> {
        let limit = match &self.place {
            Place::Server(_, options) | Place::Cluster(_, options) => options.read_timeout,
            Place::Store(_) => None,
        };
        let Some(limit) = limit else {
            return self.query(fill);
        };
        let longer = (!at_most.is_zero()).then(|| at_most + limit);
        self.ready()?;
        self.set_read_timeout(longer)?;
        let result = self.query(fill);
        self.set_read_timeout(Some(limit))?;
        result
    }

    fn set_read_timeout(&mut self, limit: Option<Duration>) -> Result<(), ClientError> {
        match &mut self.link {
            Link::Socket(connection) => connection.set_read_timeout(limit),
            Link::Cluster(cluster) => cluster.set_read_timeout(limit),
            Link::Embedded { .. } => Ok(()),
        }
    }

    /// Runs several commands, and sends them all at once where there is a socket.
    pub(crate) fn run_all(&mut self, commands: &[ArgsBuf]) -> Result<Vec<Value>, ClientError> {
        self.ready()?;
        let words = |command: &ArgsBuf| -> Vec<Vec<u8>> {
            command.as_args().iter().map(<[u8]>::to_vec).collect()
        };
        match &mut self.link {
            Link::Embedded { session, .. } => {
                let run = |command: &ArgsBuf| session.run_args(command.as_args());
                Ok(commands.iter().map(run).collect())
            }
            Link::Socket(connection) => {
                let commands: Vec<_> = commands.iter().map(words).collect();
                connection.pipeline(&commands)
            }
            Link::Cluster(cluster) => cluster.run_all(commands),
        }
    }

    /// Makes a new connection if the one there was is broken.
    fn ready(&mut self) -> Result<(), ClientError> {
        match &self.link {
            Link::Socket(connection) if connection.is_broken() => self.reconnect(),
            // The connection to the node is made anew when a command needs it.
            Link::Cluster(cluster) if cluster.has_lost_watch() => self.lose_watch(),
            _ => Ok(()),
        }
    }

    fn lose_watch(&mut self) -> Result<(), ClientError> {
        if let Link::Cluster(cluster) = &mut self.link {
            cluster.forget_watch();
        }
        match std::mem::take(&mut self.is_watching) {
            true => Err(ClientError::StateLost("WATCH")),
            false => Ok(()),
        }
    }

    fn reconnect(&mut self) -> Result<(), ClientError> {
        if let Place::Server(endpoint, options) = &self.place {
            let mut endpoint = endpoint.clone();
            endpoint.db = self.database;
            self.link = Link::Socket(Box::new(Client::open(&endpoint, options)?));
        }
        self.lose_watch()
    }

    /// Whether it can be given to somebody else: nothing of what this one did is left in it.
    pub(crate) fn is_reusable(&self) -> bool {
        let is_free = match &self.link {
            Link::Embedded { is_plain, .. } => *is_plain,
            Link::Socket(connection) => !connection.is_broken() && !connection.is_late(),
            Link::Cluster(cluster) => !cluster.is_late(),
        };
        is_free && !self.is_watching && self.database == self.place.database()
    }

    /// The store, where its own methods do what a command would, and sooner.
    pub(crate) fn plain_store(&self) -> Option<&kvik::Db> {
        match &self.link {
            Link::Embedded {
                is_plain: true,
                store,
                ..
            } => Some(store.db()),
            _ => None,
        }
    }

    /// Selects a database, which a new connection selects as well.
    ///
    /// # Errors
    /// If there is no such database.
    pub fn select(&mut self, database: u32) -> Result<(), ClientError> {
        self.query::<()>(|words| {
            words.push(b"SELECT").push(database.to_string().as_bytes());
        })?;
        self.database = database;
        if let Link::Embedded { is_plain, .. } = &mut self.link {
            *is_plain = database == 0;
        }
        Ok(())
    }

    /// Has the next transaction fail if one of these keys changes before it.
    ///
    /// ```
    /// # use kvik_client::Store;
    /// let mut client = Store::open("mem://")?;
    /// client.watch(&["stock"])?;
    /// client.another()?.set("stock", "0")?;
    /// let mut transaction = client.transaction();
    /// transaction.incr("stock");
    /// assert!(transaction.exec()?.is_none(), "somebody was faster");
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// If the connection is lost. Where that happens later, the next command reports
    /// [`ClientError::StateLost`].
    pub fn watch(&mut self, keys: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        self.query::<()>(|words| {
            words.push(b"WATCH");
            words.extend(keys);
        })?;
        self.is_watching = true;
        Ok(())
    }

    /// Ends what [`Self::watch`] began.
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn unwatch(&mut self) -> Result<(), ClientError> {
        self.ready()?;
        if let Link::Cluster(cluster) = &mut self.link {
            cluster.unwatch()?;
        } else {
            self.query::<()>(|words| {
                words.push(b"UNWATCH");
            })?;
        }
        self.is_watching = false;
        Ok(())
    }

    /// The transaction that was sent has ended the watch.
    pub(crate) fn note_executed(&mut self) {
        self.is_watching = false;
    }

    /// Gathers commands that are sent at once.
    pub fn pipeline(&mut self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// Gathers commands that are executed as one, or not at all.
    pub fn transaction(&mut self) -> Transaction<'_> {
        Transaction::new(self)
    }
}

/// A client of a store that the program has opened itself, with options of its own perhaps.
///
/// ```
/// use kvik_client::Store;
///
/// let db = kvik::Db::memory();
/// let mut client = Store::from(db.clone());
/// client.hset("user:1", [("name", "ann")])?;
/// assert!(db.exists(b"user:1").unwrap());
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
impl From<kvik::Db> for Store {
    fn from(db: kvik::Db) -> Self {
        Self::embedded(SharedStore::given(db))
    }
}

impl Place {
    fn database(&self) -> u32 {
        match self {
            Self::Store(_) | Self::Cluster(..) => 0,
            Self::Server(endpoint, _) => endpoint.db,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.place)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
