//! Several threads share one store: `cargo run -p kvik --example threads`.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::thread;

use kvik::{Db, Error, Options};

const THREADS: usize = 4;
const JOBS: usize = 1000;

/// Takes jobs until there are none; returns how many.
fn work(db: &Db) -> Result<usize, Error> {
    let mut done = 0;
    while let Some(job) = db.run(&["LPOP", "jobs"]).as_bytes() {
        // Each job is done by exactly one thread.
        let is_new = db.run(&["SADD", "done", &String::from_utf8_lossy(job)]);
        assert_eq!(is_new.as_int(), Some(1));
        done += 1;
    }
    db.increment(b"total", done as i64)?;
    Ok(done)
}

fn main() -> Result<(), Error> {
    // A handle is cloned or shared by reference. The number of threads decides how finely the store
    // is locked.
    let db = Db::in_memory(Options::default().threads(THREADS));
    for job in 0..JOBS {
        db.run(&["RPUSH", "jobs", &job.to_string()]);
    }
    let shares = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| work(&db))).collect();
        let shares = threads.into_iter().map(|thread| thread.join());
        shares
            .map(|share| share.expect("no thread panics"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    println!("jobs done by each thread: {shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), JOBS);
    assert_eq!(db.run(&["GET", "total"]).as_int(), Some(JOBS as i64));
    Ok(())
}

#[test]
fn it_runs() {
    assert_eq!(main(), Ok(()));
}
