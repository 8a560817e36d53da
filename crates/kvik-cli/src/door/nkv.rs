//! The client of nkv's lines: a connection for each request, and one for each subscription.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread::JoinHandle;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::place::{DoorStream, Place};
use super::{Dialogue, Flow};

/// Commands of the original, for completion and help.
const COMMANDS: [&str; 6] = [
    "PUT key value",
    "GET key",
    "DELETE key",
    "HELP",
    "SUBSCRIBE key",
    "QUIT",
];
const BEYOND: [&str; 5] = [
    "UNSUBSCRIBE key",
    "SUBSCRIBE key VALUE",
    "LIST [key]",
    "CAS key old new (- for none)",
    "TIE key value",
];

/// A server, and the subscriptions there.
pub(crate) struct NkvLink {
    place: Place,
    client: String,
    requests: u64,
    subscriptions: Vec<Subscription>,
    /// Connections whose keys live as long as they do.
    ties: Vec<DoorStream>,
    /// Whether the time that a request took is printed, and the end of one is for a program of old.
    is_guise: bool,
}

/// A subscription, whose lines a thread writes as they come.
struct Subscription {
    key: String,
    stream: DoorStream,
    listener: JoinHandle<()>,
}

impl NkvLink {
    pub(crate) fn to(place: &Place) -> Self {
        Self {
            place: place.clone(),
            client: format!("kvik-{}", std::process::id()),
            requests: 0,
            subscriptions: Vec::new(),
            ties: Vec::new(),
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

    /// A connection that the server has admitted.
    fn connect(&self) -> io::Result<DoorStream> {
        let mut stream = self.place.connect()?;
        let Some(password) = &self.place.password else {
            return Ok(stream);
        };
        stream.write_all(format!("AUTH 0 {} {password}\n", self.client).as_bytes())?;
        let reply = read_line(&mut stream)?;
        match reply.ends_with(" OK") {
            true => Ok(stream),
            false => Err(io::Error::other("the password is wrong")),
        }
    }

    /// Sends a request on a connection of its own and shows the line that comes back.
    fn request(&mut self, verb: &str, rest: &str, out: &mut dyn Write) -> io::Result<()> {
        let (id, start) = (self.id(), now());
        let mut stream = self.connect()?;
        stream.write_all(format!("{verb} {id} {} {rest}\n", self.client).as_bytes())?;
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply)?;
        self.show(verb, reply.trim_end(), start, out)
    }

    fn show(&self, verb: &str, reply: &str, start: Instant, out: &mut dyn Write) -> io::Result<()> {
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

    /// Puts a key that lives as long as this conversation.
    fn tie(&mut self, key: &str, value: &str, out: &mut dyn Write) -> io::Result<()> {
        let (id, start) = (self.id(), now());
        let mut stream = self.connect()?;
        let value = STANDARD.encode(value);
        stream.write_all(format!("TIE {id} {} {key} {value}\n", self.client).as_bytes())?;
        let reply = read_line(&mut stream)?;
        if reply.ends_with(" OK") {
            self.ties.push(stream);
        }
        self.show("TIE", &reply, start, out)
    }

    /// Subscribes; what comes is told from then on.
    fn subscribe(&mut self, key: &str, option: &str, out: &mut dyn Write) -> io::Result<()> {
        let (client, start) = (self.client.clone(), now());
        self.subscriptions.retain(|it| !it.listener.is_finished());
        // The original takes one subscription to a key.
        if self.is_guise && self.subscriptions.iter().any(|it| it.key == key) {
            return self.show("SUB", &format!("{client} FAILED"), start, out);
        }
        let mut stream = self.connect()?;
        stream.write_all(format!("SUB {client} {client} {key}{option}\n").as_bytes())?;
        if self.is_guise {
            self.show("SUB", &format!("{client} OK"), start, out)?;
        }
        out.flush()?;
        let (reader, is_guise) = (stream.try_clone()?, self.is_guise);
        self.subscriptions.push(Subscription {
            key: key.to_owned(),
            stream,
            listener: std::thread::spawn(move || listen(reader, is_guise)),
        });
        Ok(())
    }
}

impl Drop for NkvLink {
    fn drop(&mut self) {
        for subscription in &self.subscriptions {
            subscription.stream.shut_down();
        }
    }
}

/// A line without its end. Nothing behind it is taken.
fn read_line(stream: &mut DoorStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client tells how long a request took"
)]
fn now() -> Instant {
    Instant::now()
}

/// Writes the lines of a subscription as they come.
fn listen(stream: impl Read, is_guise: bool) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let told = match is_guise {
            true => format!("Recieved update:\n{line}"),
            false => told(&line),
        };
        // Nobody sees it any more when standard output has ended.
        if writeln!(io::stdout(), "{told}").is_err() {
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
    fn follow(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        for subscription in self.subscriptions.drain(..) {
            // It has told what it had to, however it has ended.
            let _ = subscription.listener.join();
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
            "CAS",
            "TIE",
            "HELP",
            "QUIT",
        ]
    }

    fn say(&mut self, line: &str, out: &mut dyn Write) -> io::Result<Flow> {
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
            ("CAS", [key, old, new, ..]) => {
                let old = match *old {
                    "-" => "-".to_owned(),
                    old => STANDARD.encode(old),
                };
                let rest = format!("{key} {old} {}", STANDARD.encode(new));
                self.request("CAS", &rest, out)?;
            }
            ("TIE", [key, value, ..]) => self.tie(key, value, out)?,
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
                let beyond = if self.is_guise { &[] } else { &BEYOND[..] };
                for line in COMMANDS.iter().chain(beyond) {
                    writeln!(out, "{line}")?;
                }
            }
            ("CAS" | "TIE", _) => writeln!(out, "CAS key old new, TIE key value")?,
            _ => writeln!(out, "Unknown command")?,
        }
        Ok(Flow::Go)
    }
}
