//! Listening to channels of a store, in this process or behind a socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvik::ChannelMessage;
use kvik_resp::Value;

use crate::client::{Client, ClientError, Options};
use crate::cluster::ClusterLink;
use crate::store::Place;
use crate::stores::SharedStore;
use crate::target::Target;

/// Listens to channels and patterns, until it is dropped.
///
/// ```
/// use std::time::Duration;
/// use kvik_client::Store;
///
/// let mut client = Store::open("mem://news")?;
/// let mut subscriber = client.subscriber()?;
/// subscriber.subscribe(&["weather"])?;
/// client.publish("weather", "rain")?;
/// let message = subscriber.next_within(Duration::from_secs(5))?.expect("it is there");
/// assert_eq!(message.payload, b"rain");
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
pub struct Subscriber {
    ear: Ear,
}

enum Ear {
    /// It ends before the store may.
    Embedded(
        Box<kvik::Subscriber>,
        #[expect(dead_code, reason = "it keeps the store open")] Arc<SharedStore>,
    ),
    Socket {
        connection: Box<Client>,
        /// Messages that came while something else was waited for.
        heard: VecDeque<ChannelMessage>,
    },
}

impl Subscriber {
    /// A subscriber of the store at `url`.
    ///
    /// # Errors
    /// If nobody else could publish there, as in `mem://`; otherwise as
    /// [`Store::open`](crate::Store::open).
    pub fn open(url: &str) -> Result<Self, ClientError> {
        let target: Target = url.parse()?;
        Self::at(&Place::find(target, &Options::default())?)
    }

    pub(crate) fn at(place: &Place) -> Result<Self, ClientError> {
        let ear = match place {
            Place::Store(store) if store.is_anonymous() => {
                let text = "a store in memory has no subscribers without a name: mem://name";
                return Err(ClientError::Unsupported(text));
            }
            Place::Store(store) => {
                let none: [&[u8]; 0] = [];
                let subscriber = Box::new(store.db().subscribe(&none));
                Ear::Embedded(subscriber, Arc::clone(store))
            }
            Place::Server(endpoint, options) => Ear::Socket {
                connection: Box::new(Client::open(endpoint, options)?),
                heard: VecDeque::new(),
            },
            // A message reaches the listeners of all nodes.
            Place::Cluster(nodes, options) => Ear::Socket {
                connection: Box::new(ClusterLink::any_node(nodes, options)?),
                heard: VecDeque::new(),
            },
        };
        Ok(Self { ear })
    }

    /// Listens to more channels. When this returns, every message that is published arrives.
    ///
    /// # Errors
    /// If the server refuses it or the connection is lost.
    pub fn subscribe(&mut self, channels: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        match &mut self.ear {
            Ear::Embedded(subscriber, _) => subscriber.subscribe(channels),
            Ear::Socket { .. } => return self.change("SUBSCRIBE", channels),
        }
        Ok(())
    }

    /// Listens to all channels whose names match one of these patterns.
    ///
    /// # Errors
    /// If the server refuses it or the connection is lost.
    pub fn psubscribe(&mut self, patterns: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        match &mut self.ear {
            Ear::Embedded(subscriber, _) => subscriber.psubscribe(patterns),
            Ear::Socket { .. } => return self.change("PSUBSCRIBE", patterns),
        }
        Ok(())
    }

    /// Listens to these channels no more. What was published before is still there to be taken.
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn unsubscribe(&mut self, channels: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        match &mut self.ear {
            Ear::Embedded(subscriber, _) => subscriber.unsubscribe(channels),
            Ear::Socket { .. } => return self.change("UNSUBSCRIBE", channels),
        }
        Ok(())
    }

    /// Listens to these patterns no more.
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn punsubscribe(&mut self, patterns: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        match &mut self.ear {
            Ear::Embedded(subscriber, _) => subscriber.punsubscribe(patterns),
            Ear::Socket { .. } => return self.change("PUNSUBSCRIBE", patterns),
        }
        Ok(())
    }

    /// Sends a request and waits until each name has been acknowledged.
    fn change(&mut self, command: &str, names: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        let Ear::Socket { connection, heard } = &mut self.ear else {
            return Ok(());
        };
        // Without a name the server would take it for all of them.
        if names.is_empty() {
            return Ok(());
        }
        let words: Vec<&[u8]> = std::iter::once(command.as_bytes())
            .chain(names.iter().map(AsRef::as_ref))
            .collect();
        connection.send(&words)?;
        let mut left = names.len();
        while left > 0 {
            let value = connection.receive()?;
            if let Some(error) = value.as_error() {
                return Err(ClientError::Reply(error.to_string()));
            }
            match message_of(value) {
                Some(message) => heard.push_back(message),
                None => left -= 1,
            }
        }
        Ok(())
    }

    /// The next message, however long it takes.
    ///
    /// # Errors
    /// If the connection is lost or the subscriber is disconnected.
    pub fn next_message(&mut self) -> Result<ChannelMessage, ClientError> {
        /// A wait that is begun again.
        const LONG: Duration = Duration::from_secs(3600);
        loop {
            if let Some(message) = self.next_within(LONG)? {
                return Ok(message);
            }
        }
    }

    /// The next message, if one comes within this time.
    ///
    /// # Errors
    /// If the connection is lost or the subscriber is disconnected.
    #[expect(
        clippy::disallowed_methods,
        reason = "a client waits no longer than it was told to"
    )]
    pub fn next_within(&mut self, time: Duration) -> Result<Option<ChannelMessage>, ClientError> {
        let (connection, heard) = match &mut self.ear {
            Ear::Embedded(subscriber, _) => {
                return subscriber
                    .next_within(time)
                    .map_err(|error| ClientError::Reply(error.to_string()));
            }
            Ear::Socket { connection, heard } => (connection, heard),
        };
        if let Some(message) = heard.pop_front() {
            return Ok(Some(message));
        }
        let end = Instant::now() + time;
        loop {
            // A socket takes no limit of zero.
            let left = end.saturating_duration_since(Instant::now());
            connection.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let received = connection.receive();
            let is_late = left.is_zero();
            match received {
                Ok(value) => match message_of(value) {
                    Some(message) => return Ok(Some(message)),
                    None if is_late => return Ok(None),
                    None => {}
                },
                Err(ClientError::Timeout) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A message of a channel; none in an acknowledgement.
fn message_of(value: Value) -> Option<ChannelMessage> {
    let words = value.as_slice()?;
    let bytes = |at: usize| words.get(at).and_then(Value::as_bytes).map(<[u8]>::to_vec);
    let (pattern, at) = match words.first()?.as_bytes()? {
        b"message" => (None, 1),
        b"pmessage" => (Some(bytes(1)?), 2),
        _ => return None,
    };
    Some(ChannelMessage {
        pattern,
        channel: bytes(at)?,
        payload: bytes(at + 1)?,
    })
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}
