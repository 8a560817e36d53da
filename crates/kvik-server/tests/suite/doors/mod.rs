//! Doors for clients that do not speak RESP: their bytes, whole, cut and glued, on both backends;
//! one keyspace behind all of them; and what hostile clients get.

mod hostile;
mod kiba;
mod namespaces;
mod neks;
mod nkv;
mod wire;

use kvik_server::Server;

use crate::reactor::on_each;

/// Checks servers with these doors on each backend.
fn on_doors(doors: &[&str], settings: &[&str], check: impl Fn(&Server)) {
    let listen = [&["--listen"], doors].concat();
    on_each(&[1, 2], &[&listen[..], settings].concat(), |server| {
        check(&server)
    });
}
