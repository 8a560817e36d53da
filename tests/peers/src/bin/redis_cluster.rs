//! The cluster client of redis-rs, with keys of all nodes, pipelines and a transaction in one slot.

use kvik_peers::{Outcome, port};
use redis::TypedCommands;
use redis::cluster::{ClusterClient, cluster_pipe};

fn main() -> Outcome {
    let url = format!("redis://127.0.0.1:{}", port()?);
    let mut client = ClusterClient::new(vec![url])?.get_connection()?;
    redis::cmd("FLUSHALL").exec(&mut client)?;
    let names: Vec<_> = (0..300).map(|number| format!("k{number}")).collect();
    for name in &names {
        client.set(name, name)?;
    }
    for name in &names {
        assert_eq!(client.get(name)?.as_deref(), Some(name.as_str()));
    }
    let mut pipeline = cluster_pipe();
    for name in &names {
        pipeline.append(name, "!").ignore().get(name);
    }
    let values: Vec<String> = pipeline.query(&mut client)?;
    assert!(
        names
            .iter()
            .zip(&values)
            .all(|(name, value)| *value == format!("{name}!"))
    );
    let mut transfer = cluster_pipe();
    transfer.incr("{t}a", 5).incr("{t}b", -5);
    let sums: (i64, i64) = transfer.query(&mut client)?;
    assert_eq!(sums, (5, -5));
    client.hset("h", "f", "v")?;
    client.zadd("z", "m", 1.5)?;
    assert_eq!(client.hget("h", "f")?.as_deref(), Some("v"));
    assert_eq!(client.zscore("z", "m")?, Some(1.5));
    assert_eq!(client.del(&names[..100])?, 100);
    Ok(())
}
