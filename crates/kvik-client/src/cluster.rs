//! Connections to the nodes of a cluster, of which a command gets the one that has its keys.
//!
//! The map of slots is learned from the first node that answers, and anew when a node sends a
//! command on (`MOVED`) or cannot be reached. A node gets its connection when it is first needed.
//! As with a single server, a command whose reply is missing is never sent again; one that was sent
//! on has not been executed, and is sent to the node that was named.
//!
//! A command without keys goes to any node. The nodes of kvik all have the same keys, so that one of
//! them answers for all; those of a Redis Cluster answer for their own.

use std::fmt;
use std::time::Duration;

use kvik::{key_positions, key_slot};
use kvik_resp::{ArgsBuf, Value};

use crate::client::{Client, ClientError, Options};
use crate::endpoint::{Address, Endpoint};
use crate::slots::{NodeAddress, Redirection, SlotMap};

/// How often a command is sent on before its client gives up.
const MOST_REDIRECTIONS: usize = 8;

/// The nodes of a cluster, and how to log in there.
pub(crate) struct ClusterLink {
    /// The nodes that the URL names.
    seeds: Vec<Endpoint>,
    options: Options,
    map: SlotMap,
    /// By the numbers of the map; the hosts that are not connected to have none.
    connections: Vec<Option<Client>>,
    /// The node that knows of a watch.
    watcher: Option<usize>,
}

/// The node that a command is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Destination {
    node: usize,
    /// With ASKING before it.
    is_asking: bool,
}

impl ClusterLink {
    /// Connects to the first of these nodes that answers, and learns the others from it.
    ///
    /// # Errors
    /// That of the last one if none can be used.
    pub(crate) fn open(seeds: &[Endpoint], options: &Options) -> Result<Self, ClientError> {
        let mut link = Self {
            seeds: seeds.to_vec(),
            options: options.clone(),
            map: SlotMap::default(),
            connections: Vec::new(),
            watcher: None,
        };
        link.learn()?;
        Ok(link)
    }

    /// A connection to any node that answers, for a client that needs no keys.
    pub(crate) fn any_node(seeds: &[Endpoint], options: &Options) -> Result<Client, ClientError> {
        let mut failure = ClientError::Unsupported("the URL names no node of a cluster");
        for seed in seeds {
            match Client::open(seed, options) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Runs a command where its keys are.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> Result<Value, ClientError> {
        let command: ArgsBuf = words.iter().collect();
        let slot = slot_of(&command);
        if words
            .first()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"WATCH"))
        {
            return self.watch(words, slot);
        }
        self.call_at(self.destination_of(slot), words, slot)
    }

    fn watch(&mut self, words: &[&[u8]], slot: Option<u16>) -> Result<Value, ClientError> {
        let to = self.destination_of(slot);
        if self.watcher.is_some_and(|watcher| watcher != to.node) {
            let text = "the nodes of a cluster cannot watch keys together";
            return Err(ClientError::Unsupported(text));
        }
        let reply = self.call_at(to, words, slot)?;
        if reply.is_ok() {
            // Whoever was named by a redirection is the owner by now.
            self.watcher = Some(self.node_of(slot));
        }
        Ok(reply)
    }

    /// Runs a command at a node, and at those to which it is sent on.
    fn call_at(
        &mut self,
        mut to: Destination,
        words: &[&[u8]],
        slot: Option<u16>,
    ) -> Result<Value, ClientError> {
        for _ in 0..MOST_REDIRECTIONS {
            if let Err(ClientError::Connect { .. }) = self.connection(to.node) {
                // Nothing has been sent: somebody else may have its slots by now.
                self.learn()?;
                to = self.destination_of(slot);
            }
            let connection = self.connection(to.node)?;
            if to.is_asking {
                connection.call(&["ASKING"])?;
            }
            let reply = connection.call(words)?;
            match self.redirection(&reply, to.node) {
                None => return Ok(reply),
                Some(redirection) => to = self.follow(redirection)?,
            }
        }
        Err(ClientError::Unsupported(
            "the nodes of the cluster send the command round in circles",
        ))
    }

    /// Runs commands, those of each node at once. A transaction goes to one node.
    pub(crate) fn run_all(&mut self, commands: &[ArgsBuf]) -> Result<Vec<Value>, ClientError> {
        let first = commands.first().and_then(|first| first.as_args().get(0));
        if first.is_some_and(|name| name.eq_ignore_ascii_case(b"MULTI")) {
            return self.run_transaction(commands);
        }
        let slots: Vec<_> = commands.iter().map(slot_of).collect();
        let nodes = self.nodes_of(&slots)?;
        let of_node = |node: usize| {
            let places = nodes.iter().enumerate();
            places
                .filter(move |(_, its)| **its == node)
                .map(|(at, _)| at)
        };
        // All nodes work at the same time.
        for node in 0..self.map.nodes.len() {
            let own: Vec<_> = of_node(node).map(|at| words_of(&commands[at])).collect();
            if !own.is_empty() {
                self.connection(node)?.send_all(&own)?;
            }
        }
        let mut replies = vec![Value::Null; commands.len()];
        for node in 0..self.map.nodes.len() {
            let places: Vec<_> = of_node(node).collect();
            if !places.is_empty() {
                // A new connection would wait for what was sent over the old one.
                let connection = self.connections[node].as_mut();
                let connection = connection.ok_or(ClientError::Closed)?;
                let received = connection.receive_all(places.len())?;
                for (at, reply) in places.into_iter().zip(received) {
                    replies[at] = reply;
                }
            }
        }
        // The ones that were sent on have not been executed.
        for (at, command) in commands.iter().enumerate() {
            if let Some(redirection) = self.redirection(&replies[at], nodes[at]) {
                let to = self.follow(redirection)?;
                let words: Vec<&[u8]> = command.as_args().iter().collect();
                replies[at] = self.call_at(to, &words, slots[at])?;
            }
        }
        Ok(replies)
    }

    /// The nodes of some slots. All of them are connected.
    fn nodes_of(&mut self, slots: &[Option<u16>]) -> Result<Vec<usize>, ClientError> {
        let route = |link: &Self| -> Vec<_> { slots.iter().map(|it| link.node_of(*it)).collect() };
        let nodes = route(self);
        let mut connected = nodes.iter().map(|&node| self.connection(node).map(drop));
        match connected.find(Result::is_err) {
            None => Ok(nodes),
            Some(Err(ClientError::Connect { .. })) => {
                self.learn()?;
                let nodes = route(self);
                for &node in &nodes {
                    self.connection(node)?;
                }
                Ok(nodes)
            }
            Some(failed) => failed.map(|()| nodes),
        }
    }

    /// Runs MULTI, some commands and EXEC at the node of their keys, or at the one that knows of a
    /// watch.
    fn run_transaction(&mut self, commands: &[ArgsBuf]) -> Result<Vec<Value>, ClientError> {
        let slot = commands.iter().find_map(slot_of);
        let watcher = self.watcher.take();
        let words: Vec<_> = commands.iter().map(words_of).collect();
        let node = watcher.unwrap_or_else(|| self.node_of(slot));
        let replies = self.connection(node)?.pipeline(&words)?;
        let sent_on = replies
            .iter()
            .find_map(|reply| self.redirection(reply, node));
        // One command that was sent on spoils the transaction: none has been executed.
        match sent_on {
            Some(Redirection::Moved(address)) if watcher.is_none() => {
                let to = self.follow(Redirection::Moved(address))?;
                self.connection(to.node)?.pipeline(&words)
            }
            _ => Ok(replies),
        }
    }

    /// Whether the connection is gone that knows of a watch.
    pub(crate) fn has_lost_watch(&self) -> bool {
        let watcher = self.watcher.map(|node| self.connections.get(node));
        watcher.is_some_and(|connection| {
            connection.is_none_or(|it| it.as_ref().is_none_or(Client::is_broken))
        })
    }

    /// Ends a watch, at the node that knows of it.
    pub(crate) fn unwatch(&mut self) -> Result<(), ClientError> {
        match self.watcher.take() {
            Some(node) => self.connection(node)?.call(&["UNWATCH"]).map(drop),
            None => Ok(()),
        }
    }

    /// Forgets a watch that has ended.
    pub(crate) fn forget_watch(&mut self) {
        self.watcher = None;
    }

    /// Whether replies are still to come that nobody waits for.
    pub(crate) fn is_late(&self) -> bool {
        self.connections.iter().flatten().any(Client::is_late)
    }

    /// Changes [`Options::read_timeout`].
    pub(crate) fn set_read_timeout(&mut self, limit: Option<Duration>) -> Result<(), ClientError> {
        self.options.read_timeout = limit;
        let open = self.connections.iter().flatten();
        open.filter(|it| !it.is_broken())
            .try_for_each(|connection| connection.set_read_timeout(limit))
    }

    // Nodes.

    fn owner_of(&self, slot: Option<u16>) -> Option<usize> {
        slot.and_then(|slot| self.map.owner_of(slot))
    }

    /// The node of a slot, or any; it answers for a slot that nobody has.
    fn node_of(&self, slot: Option<u16>) -> usize {
        let is_open =
            |connection: &Option<Client>| connection.as_ref().is_some_and(|it| !it.is_broken());
        let any = || self.connections.iter().position(is_open).unwrap_or(0);
        self.owner_of(slot).unwrap_or_else(any)
    }

    fn destination_of(&self, slot: Option<u16>) -> Destination {
        Destination {
            node: self.node_of(slot),
            is_asking: false,
        }
    }

    /// The connection to a node, which is made if there is none, or a broken one.
    fn connection(&mut self, node: usize) -> Result<&mut Client, ClientError> {
        let connection = &mut self.connections[node];
        let usable = connection.take().filter(|it| !it.is_broken());
        let usable = match usable {
            Some(usable) => usable,
            None => {
                let NodeAddress { host, port } = &self.map.nodes[node];
                let endpoint = Endpoint {
                    address: Address::Tcp(host.clone(), *port),
                    ..self.seeds.first().cloned().unwrap_or_default()
                };
                Client::open(&endpoint, &self.options)?
            }
        };
        Ok(connection.insert(usable))
    }

    fn redirection(&self, reply: &Value, node: usize) -> Option<Redirection> {
        Redirection::of(reply, &self.map.nodes[node].host)
    }

    /// Where a command is sent on to. The map is learned anew if a slot has moved.
    fn follow(&mut self, redirection: Redirection) -> Result<Destination, ClientError> {
        let (address, is_asking) = match redirection {
            Redirection::Moved(address) => {
                self.learn()?;
                (address, false)
            }
            Redirection::Ask(address) => (address, true),
        };
        let node = self.map.number_of(address);
        self.connections.resize_with(self.map.nodes.len(), || None);
        Ok(Destination { node, is_asking })
    }

    /// Asks the nodes that are known, and then those of the URL, for the map of slots.
    fn learn(&mut self) -> Result<(), ClientError> {
        for node in 0..self.connections.len() {
            if self.connections[node].is_some()
                && let Ok(connection) = self.connection(node)
                && let Ok(reply) = connection.call(&["CLUSTER", "SLOTS"])
                && let Some(map) = SlotMap::read(&reply, &self.map.nodes[node].host)
            {
                self.adopt(map);
                return Ok(());
            }
        }
        let mut failure = ClientError::Unsupported("the URL names no node of a cluster");
        for seed in self.seeds.clone() {
            match ask(&seed, &self.options) {
                Ok(map) => {
                    self.adopt(map);
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Goes by another map from now on. Connections stay, under the new numbers of their nodes.
    fn adopt(&mut self, mut map: SlotMap) {
        let watcher = self.watcher.map(|node| self.map.nodes[node].clone());
        let old = std::mem::take(&mut self.map.nodes);
        let mut connections: Vec<_> = map.nodes.iter().map(|_| None).collect();
        for (address, connection) in old.into_iter().zip(self.connections.drain(..)) {
            if let Some(node) = map.nodes.iter().position(|node| *node == address) {
                connections[node] = connection;
            }
        }
        self.watcher = watcher.map(|address| map.number_of(address));
        connections.resize_with(map.nodes.len(), || None);
        (self.map, self.connections) = (map, connections);
    }
}

/// Asks a node for the map of slots.
fn ask(seed: &Endpoint, options: &Options) -> Result<SlotMap, ClientError> {
    let mut connection = Client::open(seed, options)?;
    let reply = connection.call(&["CLUSTER", "SLOTS"])?;
    if let Some(error) = reply.as_error() {
        return Err(ClientError::Reply(error.to_string()));
    }
    let host = match &seed.address {
        Address::Tcp(host, _) => host.as_str(),
        Address::Unix(_) => "127.0.0.1",
    };
    let map = SlotMap::read(&reply, host).filter(|map| !map.nodes.is_empty());
    map.ok_or(ClientError::Unexpected(reply))
}

/// The slot of a command's first key. Where its keys are in several slots, the node there says
/// whether it does that.
fn slot_of(command: &ArgsBuf) -> Option<u16> {
    let words = command.as_args();
    let first = key_positions(words).first().copied()?;
    Some(key_slot(words.get(first)?))
}

fn words_of(command: &ArgsBuf) -> Vec<&[u8]> {
    command.as_args().iter().collect()
}

impl fmt::Debug for ClusterLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterLink")
            .field("nodes", &self.map.nodes)
            .finish_non_exhaustive()
    }
}
