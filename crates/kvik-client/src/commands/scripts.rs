//! Scripts, and what a store tells of itself.

use kvik::Statistics;

use crate::ClientError;
use crate::from_reply::FromReply;
use crate::store::Store;
use crate::words::Words;

impl Store {
    /// Runs a script in Lua on keys, with arguments. Its cost is the script's. A store in this
    /// process has no scripts unless it was opened with an engine for them.
    ///
    /// # Errors
    /// If the script fails or cannot be run, or the connection is lost.
    pub fn eval<T: FromReply>(
        &mut self,
        script: &str,
        keys: &[impl AsRef<[u8]>],
        arguments: impl Words,
    ) -> Result<T, ClientError> {
        self.query(|words| {
            words.extend(["EVAL", script]);
            keys.len().add_to(words);
            words.extend(keys);
            arguments.add_to(words);
        })
    }

    /// The figures of INFO. O(metrics)
    ///
    /// ```
    /// # use kvik_client::Store;
    /// let mut client = Store::open("mem://")?;
    /// client.set("k", "v")?;
    /// assert_eq!(client.statistics()?.keys(), 1);
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn statistics(&mut self) -> Result<Statistics, ClientError> {
        let text: String = self.query(|words| {
            words.extend(["INFO", "everything"]);
        })?;
        Ok(Statistics::from_info(&text))
    }
}
