//! The load generator: connections that send a batch, wait for all its replies, and send the next.
//!
//! It must cost less than the servers it loads: a batch is one write of prepared bytes, replies are
//! counted and not decoded, and each thread serves its connections from one event loop.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::workload::{Batch, Random, Workload};
use crate::server::Server;

/// Commands of one batch of the fill.
const FILL_KEYS: usize = 500;

/// A server that answers nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// One cell of the table.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) workload: Workload,
    pub(super) pipeline: usize,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) keys: usize,
    pub(super) value_bytes: usize,
    pub(super) secs: f64,
}

/// The figures of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) ops: u64,
    pub(super) ops_per_sec: f64,
    pub(super) cpu_us_per_op: f64,
    /// From the first byte of a batch sent to its last reply, as all batches of the cell.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) longest_us: f64,
}

impl Load {
    /// Connects, then loads for `secs`. `cpu_us` says how much CPU time the server has used so far.
    pub(super) fn run(&self, cpu_us: impl Fn() -> anyhow::Result<f64>) -> anyhow::Result<Sample> {
        let connected = Barrier::new(self.threads + 1);
        let started = Barrier::new(self.threads + 1);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads)
                .map(|number| {
                    let (connected, started) = (&connected, &started);
                    scope.spawn(move || {
                        let worker = Worker::connect(self, number);
                        connected.wait();
                        started.wait();
                        worker?.run(self)
                    })
                })
                .collect();
            connected.wait();
            let (cpu_before, began) = (cpu_us(), Instant::now());
            started.wait();
            let mut latencies = Vec::new();
            for worker in workers {
                latencies.extend(worker.join().expect("a worker returns its errors")?);
            }
            let (secs, cpu) = (began.elapsed().as_secs_f64(), cpu_us()? - cpu_before?);
            self.sample(latencies, secs, cpu)
        })
    }

    fn sample(&self, mut latencies_ns: Vec<u64>, secs: f64, cpu_us: f64) -> anyhow::Result<Sample> {
        ensure!(!latencies_ns.is_empty(), "no batch was finished in time");
        latencies_ns.sort_unstable();
        let ops = (latencies_ns.len() * self.pipeline) as u64;
        let quantile_us = |share: f64| {
            latencies_ns[((latencies_ns.len() - 1) as f64 * share) as usize] as f64 / 1000.0
        };
        Ok(Sample {
            ops,
            ops_per_sec: ops as f64 / secs,
            cpu_us_per_op: cpu_us / ops as f64,
            p50_us: quantile_us(0.50),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
            longest_us: quantile_us(1.0),
        })
    }
}

/// Writes all keys, so that reads find them. With a TTL they expire long after every measurement.
pub(super) fn fill(
    address: SocketAddr,
    keys: usize,
    value_bytes: usize,
    ttl: bool,
) -> anyhow::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    let mut batch = Batch::fill(FILL_KEYS, value_bytes, ttl);
    let mut replies = [0; 5 * FILL_KEYS];
    for from in (0..keys).step_by(FILL_KEYS) {
        let count = FILL_KEYS.min(keys - from);
        stream.write_all(batch.number(from, count))?;
        let replies = &mut replies[..5 * count];
        stream.read_exact(replies)?;
        ensure!(
            replies.chunks(5).all(|reply| reply == b"+OK\r\n"),
            "SET was refused"
        );
    }
    Ok(())
}

/// A connection that waits for its replies, for measurements of one client at a time.
pub(super) struct Blocking {
    stream: std::net::TcpStream,
    input: Vec<u8>,
    filled: usize,
}

impl Blocking {
    pub(super) fn connect(server: &Server) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(server.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            input: vec![0; 64 << 10],
            filled: 0,
        })
    }

    /// Sends a command and waits for its reply, which is no error.
    pub(super) fn ask(&mut self, words: &[&str]) -> anyhow::Result<()> {
        self.send(words)?;
        self.receive(1)
    }

    /// Sends a command.
    pub(super) fn send(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = Vec::new();
        encode(words, &mut command);
        Ok(self.stream.write_all(&command)?)
    }

    /// Sends encoded commands and waits for their replies.
    pub(super) fn exchange(&mut self, commands: &[u8], replies: usize) -> anyhow::Result<()> {
        self.stream.write_all(commands)?;
        self.receive(replies)
    }

    /// Waits for so many replies; nothing else is on its way.
    pub(super) fn receive(&mut self, mut replies: usize) -> anyhow::Result<()> {
        while replies > 0 {
            let received = self.stream.read(&mut self.input[self.filled..])?;
            ensure!(received > 0, "the server closed the connection");
            self.filled += received;
            let (came, used) = count_replies(&self.input[..self.filled])?;
            replies = replies.saturating_sub(came);
            self.input.copy_within(used..self.filled, 0);
            self.filled -= used;
        }
        Ok(())
    }

    /// Whether a reply has begun to arrive.
    pub(super) fn has_reply(&self) -> anyhow::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = ready(self.stream.peek(&mut [0]))?;
        self.stream.set_nonblocking(false)?;
        Ok(peeked.is_some())
    }
}

/// Appends a command as it is sent.
pub(super) fn encode(words: &[&str], commands: &mut Vec<u8>) {
    let words: kvik_resp::ArgsBuf = words.iter().collect();
    kvik_resp::encode_command(words.as_args(), commands);
}

/// A thread's share of the connections.
struct Worker {
    poll: Poll,
    connections: Vec<Connection>,
    random: Random,
}

impl Worker {
    fn connect(load: &Load, number: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let share =
            load.connections / load.threads + usize::from(number < load.connections % load.threads);
        let mut connections = Vec::with_capacity(share);
        for token in 0..share {
            let stream = std::net::TcpStream::connect(load.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(
                &mut stream,
                Token(token),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            connections.push(Connection::new(stream, load));
        }
        Ok(Self {
            poll,
            connections,
            random: Random::new(number as u64 + 1),
        })
    }

    /// Loads until the time is over; returns the latency of every batch in nanoseconds.
    fn run(mut self, load: &Load) -> anyhow::Result<Vec<u64>> {
        let end = Instant::now() + Duration::from_secs_f64(load.secs);
        let mut latencies_ns = Vec::new();
        let mut events = Events::with_capacity(self.connections.len());
        for connection in &mut self.connections {
            connection.begin(&mut self.random, load.keys)?;
        }
        let mut busy = self.connections.len();
        while busy > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "the server does not answer");
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if !connection.advance(load.pipeline)? {
                    continue;
                }
                let now = Instant::now();
                latencies_ns.push((now - connection.began).as_nanos() as u64);
                if now < end {
                    connection.begin(&mut self.random, load.keys)?;
                } else {
                    busy -= 1;
                }
            }
        }
        Ok(latencies_ns)
    }
}

struct Connection {
    stream: TcpStream,
    batch: Batch,
    /// Bytes of the batch that are on their way.
    sent: usize,
    input: Vec<u8>,
    /// Bytes of `input` that hold data.
    filled: usize,
    /// Replies to the batch that have come.
    replies: usize,
    began: Instant,
}

impl Connection {
    fn new(stream: TcpStream, load: &Load) -> Self {
        let batch = load.workload.batch(load.pipeline, load.value_bytes);
        let input = vec![0; (load.value_bytes + 64) * load.pipeline + 1024];
        Self {
            stream,
            batch,
            sent: 0,
            input,
            filled: 0,
            replies: 0,
            began: Instant::now(),
        }
    }

    fn begin(&mut self, random: &mut Random, keys: usize) -> anyhow::Result<()> {
        self.batch.shuffle(random, keys);
        (self.sent, self.replies, self.began) = (0, 0, Instant::now());
        self.send()
    }

    /// Goes on where the socket allows it; true when the last reply of the batch has come.
    fn advance(&mut self, pipeline: usize) -> anyhow::Result<bool> {
        if self.replies == pipeline {
            return Ok(false); // an event after the end
        }
        self.send()?;
        self.receive()?;
        Ok(self.replies == pipeline)
    }

    fn send(&mut self) -> anyhow::Result<()> {
        while self.sent < self.batch.bytes().len() {
            match ready(self.stream.write(&self.batch.bytes()[self.sent..]))? {
                Some(sent) => self.sent += sent,
                None => break,
            }
        }
        Ok(())
    }

    /// Reads what there is. A read that leaves room in the buffer has emptied the socket, which
    /// saves the read that would only say so.
    fn receive(&mut self) -> anyhow::Result<()> {
        loop {
            let room = self.input.len() - self.filled;
            let Some(received) = ready(self.stream.read(&mut self.input[self.filled..]))? else {
                return Ok(());
            };
            ensure!(received > 0, "the server closed the connection");
            self.filled += received;
            let (replies, used) = count_replies(&self.input[..self.filled])?;
            self.replies += replies;
            self.input.copy_within(used..self.filled, 0);
            self.filled -= used;
            if received < room {
                return Ok(());
            }
        }
    }
}

fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole replies at the start of `input`, and the bytes they take. An error reply is an error: the
/// load is wrong then.
fn count_replies(input: &[u8]) -> anyhow::Result<(usize, usize)> {
    let (mut replies, mut used) = (0, 0);
    while let Some(line) = input[used..].iter().position(|&byte| byte == b'\n') {
        let header = std::str::from_utf8(&input[used..used + line])?.trim_end();
        let end = used + line + 1;
        let payload = match header.as_bytes().first() {
            Some(b'+' | b':' | b'_') => 0,
            Some(b'$') if header == "$-1" => 0,
            Some(b'$') => header[1..].parse::<usize>().context("a bulk length")? + 2,
            _ => bail!("the server answered {header}"),
        };
        if input.len() < end + payload {
            break;
        }
        (replies, used) = (replies + 1, end + payload);
    }
    Ok((replies, used))
}

#[cfg(test)]
mod tests {
    use super::count_replies;

    #[test]
    fn whole_replies_count() {
        assert_eq!(
            count_replies(b"+OK\r\n:12\r\n$3\r\na\nb\r\n$-1\r\n").unwrap(),
            (4, 24)
        );
    }

    #[test]
    fn a_part_of_a_reply_waits() {
        assert_eq!(count_replies(b"+OK\r\n$3\r\na\nb").unwrap(), (1, 5));
        assert_eq!(count_replies(b"+OK\r\n$3").unwrap(), (1, 5));
        assert_eq!(count_replies(b"").unwrap(), (0, 0));
    }

    #[test]
    fn an_error_reply_ends_the_measurement() {
        assert!(count_replies(b"-ERR unknown command\r\n").is_err());
    }
}
