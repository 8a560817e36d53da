//! A stripe's tables of namespaces: found by name, added when the first key comes, dropped when the
//! last has gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Stripe;
use crate::UnixMs;
use crate::keyspace::Keyspace;
use crate::layout::{KeyspaceId, Layout};
use crate::namespace::{DEFAULT_NAMESPACE, Namespace, NamespaceMap, Share, TableId};

/// The namespaces that have a table in a stripe.
#[derive(Debug, Default)]
pub(super) struct StripeNamespaces {
    /// By database.
    databases: Vec<DatabasePart>,
    /// The number of the first table that is no database's, where there are namespaces.
    first: Option<TableId>,
    /// When something in a namespace expires, at the earliest: so that deleting what is due looks
    /// only at those where something is.
    dues: BTreeSet<(UnixMs, TableId)>,
    /// Those whose last key has gone.
    emptied: Vec<TableId>,
}

/// The namespaces of a database in a stripe, and the sum of their parts here.
#[derive(Debug, Default)]
struct DatabasePart {
    namespaces: NamespaceMap,
    sum: Share,
}

impl StripeNamespaces {
    pub(super) fn begin(&mut self, first: u32) {
        self.first = Some(TableId(first));
    }

    /// The number of the first table of a namespace.
    pub(super) fn first_table(&self) -> TableId {
        self.first.unwrap_or(TableId::NONE)
    }

    /// A time before which no key of any namespace expires.
    pub(super) fn next_due(&self) -> Option<UnixMs> {
        self.dues.first().map(|&(at, _)| at)
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        let sums = self.databases.iter().map(|part| part.sum.bytes as usize);
        sums.sum()
    }
}

impl Stripe {
    /// The table of a namespace, if it has one here.
    #[inline]
    pub(crate) fn find_namespace(&self, database: KeyspaceId, name: &[u8]) -> TableId {
        let part = self.namespaces.databases.get(database.0 as usize);
        let found = part.and_then(|part| part.namespaces.get(name));
        found.map_or(TableId::NONE, |found| found.table())
    }

    /// The table that holds a key of a database, if there is one.
    #[inline]
    pub(crate) fn table_of(&self, layout: &Layout, database: KeyspaceId, key: &[u8]) -> TableId {
        match layout.namespace_of(key) {
            None => database.into(),
            Some(name) => self.find_namespace(database, name),
        }
    }

    /// The table that is to hold a key of a database.
    pub(crate) fn reach_table(
        &mut self,
        layout: &Layout,
        database: KeyspaceId,
        key: &[u8],
    ) -> TableId {
        match self.table_of(layout, database, key) {
            TableId::NONE => self.add_namespace_of(layout, database, key),
            table => table,
        }
    }

    #[cold]
    fn add_namespace_of(&mut self, layout: &Layout, database: KeyspaceId, key: &[u8]) -> TableId {
        match (layout.namespaces(), layout.namespace_of(key)) {
            (Some(all), Some(name)) => self.add_namespace(layout, all.reach(database, name)),
            _ => database.into(),
        }
    }

    fn add_namespace(&mut self, layout: &Layout, namespace: Arc<Namespace>) -> TableId {
        let (table, database) = (namespace.table(), namespace.database().0 as usize);
        let databases = &mut self.namespaces.databases;
        if database >= databases.len() {
            databases.resize_with(database + 1, DatabasePart::default);
        }
        databases[database]
            .namespaces
            .insert(namespace.shared_name(), Arc::clone(&namespace));
        let noted = self.totals.of_keyspace(table, Some(namespace.database()));
        let mut keyspace = Box::new(Keyspace::noting(noted));
        keyspace.namespace = Some(namespace);
        self.add_keyspace(table, keyspace, layout);
        table
    }

    /// The share of all named namespaces of a database, beside the keys of no namespace.
    pub(crate) fn named_sum(&self, database: KeyspaceId) -> Share {
        let part = self.namespaces.databases.get(database.0 as usize);
        part.map_or_else(Share::default, |part| part.sum)
    }

    /// The table of a namespace, that of the keys without one included.
    pub(crate) fn table_named(&self, database: KeyspaceId, name: &[u8]) -> TableId {
        if name == DEFAULT_NAMESPACE {
            return database.into();
        }
        self.find_namespace(database, name)
    }

    /// The tables of a database here: its own, and those of its namespaces.
    pub(crate) fn tables_of(&self, database: KeyspaceId) -> Vec<TableId> {
        let named = self.named(database);
        let named = named.map(|namespace| namespace.table());
        std::iter::once(database.into()).chain(named).collect()
    }

    fn named(&self, database: KeyspaceId) -> impl Iterator<Item = &Arc<Namespace>> {
        let part = self.namespaces.databases.get(database.0 as usize);
        part.into_iter().flat_map(|part| part.namespaces.values())
    }

    /// Exchanges the contents of the namespaces of two databases.
    pub(crate) fn swap_namespaces(&mut self, a: KeyspaceId, b: KeyspaceId, layout: &Layout) {
        let Some(all) = layout.namespaces() else {
            return;
        };
        let names = self.named(a).chain(self.named(b));
        // A namespace that only one of the two has gets a table in the other, to take its contents.
        let names: BTreeSet<Box<[u8]>> = names.map(|it| it.name().into()).collect();
        for name in names {
            let [left, right] = [a, b].map(|database| {
                let namespace = all.reach(database, &name);
                all.note_idle(&namespace);
                match self.find_namespace(database, &name) {
                    TableId::NONE => self.add_namespace(layout, namespace),
                    table => table,
                }
            });
            self.swap(left, right, layout);
            // What is left empty goes.
            self.namespaces.emptied.extend([left, right]);
        }
    }

    /// The first table of a namespace in which something is due.
    pub(crate) fn due_namespace(&self, now: UnixMs) -> Option<TableId> {
        let first = self.namespaces.dues.first();
        first.filter(|&&(at, _)| at <= now).map(|&(_, table)| table)
    }

    /// Brings the totals of a namespace up to date with what has changed here. To be called at the
    /// end of each change, where there are namespaces.
    pub(crate) fn tell_namespace(&mut self, table: TableId, layout: &Layout) {
        let Some(all) = layout.namespaces() else {
            return;
        };
        let Some(Some(keyspace)) = self.keyspaces.get_mut(table.index()) else {
            return;
        };
        let (new, due) = (keyspace.share(), keyspace.next_due());
        let former_due = keyspace.note_due(due);
        let Some(namespace) = &keyspace.namespace else {
            return;
        };
        // The totals belong to all stripes, so that only differences are added.
        let old = std::mem::replace(&mut keyspace.told, new);
        if old != new && old.tell_change(new, namespace, all) {
            all.note_idle(namespace);
        }
        // The keys of no namespace have a table for as long as the database has, and a due time of
        // their own.
        if table < self.namespaces.first_table() {
            return;
        }
        let part = &mut self.namespaces.databases[namespace.database().0 as usize];
        old.add_change(new, &mut part.sum);
        if new.keys == 0 && old.keys > 0 {
            self.namespaces.emptied.push(table);
        }
        if let Some(former) = former_due {
            self.namespaces.dues.remove(&(former, table));
            if due != UnixMs::MAX {
                self.namespaces.dues.insert((due, table));
            }
        }
    }

    /// Drops the tables of namespaces that have no key here any more.
    pub(super) fn drop_emptied(&mut self) {
        let mut emptied = std::mem::take(&mut self.namespaces.emptied);
        emptied.retain(|&table| self.must_stay(table));
        self.namespaces.emptied.append(&mut emptied);
    }

    /// Drops a table that is empty, and says whether it has to stay for an image.
    fn must_stay(&mut self, table: TableId) -> bool {
        let Some(place) = self.keyspaces.get_mut(table.index()) else {
            return false;
        };
        let Some(mut keyspace) = place.take_if(|keyspace| keyspace.len() == 0) else {
            return false;
        };
        // The image has not taken all that was there at the cut.
        if keyspace.cut.is_some() {
            *place = Some(keyspace);
            return true;
        }
        let namespace = keyspace.namespace.take();
        self.detached.push(keyspace.detach());
        if let Some(due) = keyspace.note_due(UnixMs::MAX) {
            self.namespaces.dues.remove(&(due, table));
        }
        if let Some(namespace) = namespace {
            let part = &mut self.namespaces.databases[namespace.database().0 as usize];
            part.namespaces.remove(namespace.name());
        }
        false
    }
}

#[cfg(test)]
mod tests;
