//! Those who hear a channel or a pattern: connections, by the threads that serve them, and clients
//! that no thread serves.

use std::sync::Arc;

use super::outlet::{Delivery, Outlet, Rings, Seat};
use crate::client::Client;
use crate::mail::{Message, Push};

/// The listeners of one channel.
#[derive(Debug, Default)]
pub(super) struct Audience {
    rows: Vec<SeatRow>,
    /// Clients that no thread serves at present: those inside this process, and connections on
    /// their way to another thread.
    others: Vec<Arc<Client>>,
}

/// The listeners at one thread.
#[derive(Debug)]
struct SeatRow {
    outlet: Arc<Outlet>,
    /// Ascending. Messages on their way refer to the list as it was when they were published.
    places: Arc<Vec<u64>>,
}

impl Audience {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        let seated: usize = self.rows.iter().map(|row| row.places.len()).sum();
        seated + self.others.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.others.is_empty()
    }

    /// Adds a client that is not among them.
    pub(super) fn join(&mut self, client: &Arc<Client>, seat: Option<&Seat>) {
        let Some(seat) = seat else {
            return self.others.push(Arc::clone(client));
        };
        let row = self.rows.iter_mut().find(|row| row.is_at(seat));
        match row {
            Some(row) => {
                let places = Arc::make_mut(&mut row.places);
                let at = places.partition_point(|place| *place < seat.place);
                places.insert(at, seat.place);
            }
            None => self.rows.push(SeatRow {
                outlet: Arc::clone(&seat.outlet),
                places: Arc::new(vec![seat.place]),
            }),
        }
    }

    /// Removes a client, which has this seat since it joined.
    pub(super) fn leave(&mut self, client: &Client, seat: Option<&Seat>) {
        let Some(seat) = seat else {
            return self.others.retain(|other| other.id != client.id);
        };
        let Some(at) = self.rows.iter().position(|row| row.is_at(seat)) else {
            return;
        };
        let places = Arc::make_mut(&mut self.rows[at].places);
        if let Ok(found) = places.binary_search(&seat.place) {
            places.remove(found);
        }
        if places.is_empty() {
            self.rows.swap_remove(at);
        }
    }

    /// Gives them a message. Returns how many they are.
    pub(super) fn tell(&self, push: &Push, rings: &mut Rings) -> usize {
        for row in &self.rows {
            let is_first = row.outlet.put(Delivery {
                places: Arc::clone(&row.places),
                push: push.clone(),
            });
            if is_first {
                rings.note(&row.outlet);
            }
        }
        for client in &self.others {
            client.deliver(Message::Push(push.clone()));
        }
        self.len()
    }
}

impl SeatRow {
    fn is_at(&self, seat: &Seat) -> bool {
        Arc::ptr_eq(&self.outlet, &seat.outlet)
    }
}
