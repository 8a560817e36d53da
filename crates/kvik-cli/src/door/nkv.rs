//! The client of nkv's lines: a connection for each request, and one for each subscription.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::place::{DoorStream, Place};
use super::{Dialogue, Flow};

/// A server, and the subscriptions there.
pub(crate) struct NkvLink {
    place: Place,
    client: String,
    requests: u64,
    subscriptions: Vec<DoorStream>,
    heard: (Sender<String>, Receiver<String>),
    /// Whether the time that a request took is printed, and the end of one is for a program of old.
    is_guise: bool,
}

impl NkvLink {
    pub(crate) fn to(place: &Place) -> Self {
        Self {
            place: place.clone(),
            client: format!("kvik-{}", std::process::id()),
            requests: 0,
            subscriptions: Vec::new(),
            heard: channel(),
            is_guise: false,
        }
    }

    /// The same with the output lines of nkv-client.
    pub(crate) fn in_guise(place: &Place) -> Self {
        let mut link = Self::to(place);
        link.is_guise = true;
        link.client = format!("rust-nkv-client-{:032x}", std::process::id());
        link
    }

    fn id(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.client, self.requests)
    }

    /// Sends a line on a connection of its own; the line that comes back.
    fn ask(&self, line: &str) -> io::Result<String> {
        let mut stream = self.place.connect()?;
        stream.write_all(line.as_bytes())?;
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply)?;
        Ok(reply.trim_end().to_owned())
    }

    fn request(&mut self, verb: &str, rest: &str, out: &mut dyn Write) -> io::Result<()> {
        let (id, start) = (self.id(), now());
        let line = format!("{verb} {id} {} {rest}\n", self.client);
        let reply = self.ask(&line)?;
        if self.is_guise {
            writeln!(out, "Request took: {:.2?}", start.elapsed())?;
        }
        let mut words = reply.split(' ');
        // The id is of no interest to a person.
        let id = words.next().unwrap_or_default();
        let status = words.next().unwrap_or("FAILED");
        let shown: Vec<_> = match verb {
            "GET" => words.map(text_of).collect(),
            _ => words.map(str::to_owned).collect(),
        };
        let shown = shown.join(" ");
        match (self.is_guise, shown.is_empty()) {
            (true, true) => writeln!(out, "{id} {status}"),
            (true, false) => writeln!(out, "{id} {status} {shown}"),
            (false, true) => writeln!(out, "{status}"),
            (false, false) => writeln!(out, "{shown}"),
        }
    }

    /// Subscribes; what comes is told from then on.
    fn subscribe(&mut self, key: &str, option: &str, out: &mut dyn Write) -> io::Result<()> {
        let start = now();
        let mut stream = self.place.connect()?;
        let client = &self.client;
        stream.write_all(format!("SUB {client} {client} {key}{option}\n").as_bytes())?;
        if self.is_guise {
            writeln!(out, "Request took: {:.2?}", start.elapsed())?;
            writeln!(out, "{client} OK")?;
        }
        self.subscriptions.push(stream.try_clone()?);
        let (heard, is_guise) = (self.heard.0.clone(), self.is_guise);
        std::thread::spawn(move || listen(stream, &heard, is_guise));
        Ok(())
    }
}

impl Drop for NkvLink {
    fn drop(&mut self) {
        self.subscriptions.iter().for_each(DoorStream::shut_down);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client tells how long a request took"
)]
fn now() -> Instant {
    Instant::now()
}

/// Tells the lines of a subscription: at once where a person sees them, else in their turn.
fn listen(stream: impl Read, heard: &Sender<String>, is_guise: bool) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let told = match is_guise {
            true => format!("Recieved update:\n{line}"),
            false => told(&line),
        };
        if std::io::IsTerminal::is_terminal(&io::stdin()) {
            // Who has gone sees nothing.
            let _ = writeln!(io::stdout(), "{told}");
        } else if heard.send(told).is_err() {
            return;
        }
    }
}

/// A notification for people.
fn told(line: &str) -> String {
    match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["UPDATE", key, value] => format!("UPDATE {key} {}", text_of(value)),
        _ => line.to_owned(),
    }
}

/// A value in base64 as text; bytes that are none as numbers.
fn text_of(value: &str) -> String {
    match STANDARD.decode(value).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => format!("{:?}", error.as_bytes()),
        Err(_) => value.to_owned(),
    }
}

impl Dialogue for NkvLink {
    fn follow(&mut self, out: &mut dyn Write) -> io::Result<()> {
        // The threads that listen have their own senders, so it ends with the last of them.
        self.heard.0 = channel().0;
        while let Ok(line) = self.heard.1.recv() {
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        Ok(())
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "PUT",
            "GET",
            "DELETE",
            "SUBSCRIBE",
            "UNSUBSCRIBE",
            "LIST",
            "HELP",
            "QUIT",
        ]
    }

    fn say(&mut self, line: &str, out: &mut dyn Write) -> io::Result<Flow> {
        // What has come meanwhile stands before the answer.
        while let Ok(line) = self.heard.1.try_recv() {
            writeln!(out, "{line}")?;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((verb, operands)) = words.split_first() else {
            return Ok(Flow::Go);
        };
        match (verb.to_ascii_uppercase().as_str(), operands) {
            ("PUT", [key, value, ..]) => {
                let rest = format!("{key} {}", STANDARD.encode(value));
                self.request("PUT", &rest, out)?;
            }
            ("GET", [key, ..]) => self.request("GET", key, out)?,
            ("DELETE" | "DEL", [key, ..]) => self.request("DEL", key, out)?,
            ("LIST", []) => self.request("LIST", "", out)?,
            ("LIST", [key, ..]) => self.request("LIST", key, out)?,
            ("SUBSCRIBE" | "SUB", [key]) => self.subscribe(key, "", out)?,
            ("SUBSCRIBE" | "SUB", [key, ..]) => self.subscribe(key, " VALUE", out)?,
            ("UNSUBSCRIBE" | "UNSUB", [key, ..]) => self.request("UNSUB", key, out)?,
            ("QUIT" | "EXIT", _) => return Ok(Flow::End),
            ("PUT", _) => writeln!(out, "PUT requires a key and a value")?,
            ("GET", _) => writeln!(out, "GET requires a key")?,
            ("DELETE" | "DEL", _) => writeln!(out, "DELETE requires a key")?,
            ("SUBSCRIBE" | "SUB" | "UNSUBSCRIBE" | "UNSUB", _) => {
                writeln!(out, "SUBSCRIBE requires a key")?;
            }
            ("HELP", _) => {
                writeln!(out, "Commands:")?;
                for line in [
                    "PUT key value",
                    "GET key",
                    "DELETE key",
                    "HELP",
                    "SUBSCRIBE key",
                    "QUIT",
                ] {
                    writeln!(out, "{line}")?;
                }
            }
            _ => writeln!(out, "Unknown command")?,
        }
        Ok(Flow::Go)
    }
}
