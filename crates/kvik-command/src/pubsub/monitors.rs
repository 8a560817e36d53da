//! MONITOR: clients that are shown every command.
//!
//! A command is shown while its stripes are held, so that the commands on a key stand in the order
//! in which they ran, and all monitors see one order. While nobody monitors, a command costs the
//! look at one word.

use std::sync::atomic::Ordering;

use kvik_resp::Args;

use super::audience::Audience;
use crate::client::Client;
use crate::command_log::is_secret;
use crate::declare::{Command, Flags};
use crate::mail::Push;
use crate::session::Session;
use crate::sync::{AtomicUsize, Mutex};

/// The clients in monitor mode.
#[derive(Debug, Default)]
pub struct Monitors {
    pub(super) audience: Mutex<Audience>,
    count: AtomicUsize,
}

impl Monitors {
    /// Whether anybody monitors.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Shows a session every command from now on.
    pub(crate) fn join(&self, session: &mut Session) {
        if session.monitors {
            return;
        }
        let (client, seat) = (&session.client, session.client.seat());
        let mut audience = self.audience.lock();
        audience.join(client, seat.as_ref());
        self.count.store(audience.len(), Ordering::Relaxed);
        drop(audience);
        session.monitor(true);
    }

    /// Shows a session no more commands.
    pub fn leave(&self, session: &mut Session) {
        if !session.monitors {
            return;
        }
        let (client, seat) = (&session.client, session.client.seat());
        let mut audience = self.audience.lock();
        audience.leave(client, seat.as_ref());
        self.count.store(audience.len(), Ordering::Relaxed);
        drop(audience);
        session.monitor(false);
    }

    /// Shows a command that runs at this time, in microseconds since the epoch. What an operator
    /// does is not shown, nor are passwords. A script is [shown apart](Self::show_script).
    #[cold]
    pub fn show(&self, session: &mut Session, command: &Command, args: Args<'_>, now_us: u64) {
        if command
            .flags()
            .intersects(Flags::ADMIN | Flags::SKIP_MONITOR)
        {
            return;
        }
        self.tell(session, args, now_us);
    }

    /// The same for a script, which is shown before the commands that it calls.
    #[cold]
    pub fn show_script(&self, session: &mut Session, args: Args<'_>, now_us: u64) {
        self.tell(session, args, now_us);
    }

    #[inline(never)]
    fn tell(&self, session: &mut Session, args: Args<'_>, now_us: u64) {
        let address = match session.in_script {
            true => "lua".into(),
            false => address(&session.client),
        };
        let line = line(&address, session.db, args, now_us);
        let push = Push::line(&line);
        self.audience.lock().tell(&push, &mut session.rings);
    }
}

fn address(client: &Client) -> String {
    match client.addr.strip_suffix(":0") {
        Some(path) if path.starts_with('/') => format!("unix:{path}"),
        _ => client.addr.clone(),
    }
}

/// A command as MONITOR shows it.
fn line(address: &str, db: u32, args: Args<'_>, now_us: u64) -> Vec<u8> {
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let mut line = format!("{seconds}.{micros:06} [{db} {address}]").into_bytes();
    for (at, word) in args.iter().enumerate() {
        line.push(b' ');
        match is_secret(args, at) {
            true => quote(b"(redacted)", &mut line),
            false => quote(word, &mut line),
        }
    }
    line
}

/// Appends a word in quotes, with what cannot be printed escaped.
fn quote(word: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => line.extend([b'\\', byte]),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x07 => line.extend(b"\\a"),
            0x08 => line.extend(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => line.extend(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use kvik_resp::ArgsBuf;

    use super::*;
    use crate::client::{Clients, Origin};

    fn shown(words: &[&[u8]], addr: &str) -> String {
        let origin = Origin {
            addr: addr.into(),
            ..Origin::embedded()
        };
        let client = Clients::default().add(origin, 0);
        let words: ArgsBuf = words.iter().collect();
        String::from_utf8(line(
            &address(&client),
            3,
            words.as_args(),
            1_700_000_000_000_042,
        ))
        .unwrap()
    }

    #[test]
    fn a_command_is_shown_as_redis_does() {
        assert_eq!(
            shown(&[b"set", b"k\n\"\\", b"\x00\xffz"], "127.0.0.1:5000"),
            r#"1700000000.000042 [3 127.0.0.1:5000] "set" "k\n\"\\" "\x00\xffz""#
        );
        assert_eq!(
            shown(&[b"AUTH", b"secret"], "/run/kvik.sock:0"),
            r#"1700000000.000042 [3 unix:/run/kvik.sock] "AUTH" "(redacted)""#
        );
    }
}
