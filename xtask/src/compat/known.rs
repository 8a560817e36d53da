//! The differences that are meant: `server | command | field | reason`, the first three as glob
//! patterns.

use anyhow::bail;
use kvik_command::glob::glob_match;

/// The lines of the file.
pub(super) struct Known {
    lines: Vec<Line>,
    /// The servers that were asked about.
    products: Vec<String>,
}

struct Line {
    product: String,
    command: String,
    field: String,
    used: bool,
}

impl Known {
    /// Reads the file; `#` begins a comment line.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self {
            lines: lines.map(Line::read).collect::<Result<_, _>>()?,
            products: Vec::new(),
        })
    }

    /// Whether this difference is meant.
    pub(super) fn explains(&mut self, product: &str, command: &str, field: &str) -> bool {
        if !self.products.iter().any(|known| known == product) {
            self.products.push(product.to_owned());
        }
        let line = self
            .lines
            .iter_mut()
            .find(|line| line.covers(product, command, field));
        if let Some(line) = line {
            line.used = true;
            return true;
        }
        false
    }

    /// The lines about the servers compared with that explained nothing.
    pub(super) fn unused(&self) -> Vec<String> {
        let asked = |line: &Line| {
            self.products
                .iter()
                .any(|product| matches(&line.product, product))
        };
        let unused = self.lines.iter().filter(|line| !line.used && asked(line));
        unused
            .map(|line| format!("{} | {} | {}", line.product, line.command, line.field))
            .collect()
    }
}

impl Line {
    fn read(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.splitn(4, " | ").map(str::trim).collect();
        let [product, command, field, reason] = parts[..] else {
            bail!("known.txt: four parts expected: {text}")
        };
        if reason.is_empty() {
            bail!("known.txt: a reason expected: {text}");
        }
        let [product, command, field] = [product, command, field].map(str::to_owned);
        Ok(Self {
            product,
            command,
            field,
            used: false,
        })
    }

    fn covers(&self, product: &str, command: &str, field: &str) -> bool {
        matches(&self.product, product)
            && matches(&self.command, command)
            && matches(&self.field, field)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    glob_match(pattern.as_bytes(), text.as_bytes(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_explains_what_its_patterns_cover() {
        let text = "# comment\n\nredis* | config* | docs.summary | own words\nvalkey* | * | * | never asked\n";
        let mut known = Known::read(text).expect("well-formed");
        assert!(!known.explains("redis-server 7.0", "get", "docs.summary"));
        assert_eq!(known.unused(), ["redis* | config* | docs.summary"]);
        assert!(known.explains("redis-server 7.0", "config|get", "docs.summary"));
        assert!(known.unused().is_empty());
    }

    #[test]
    fn a_line_needs_a_reason() {
        assert!(Known::read("a | b | c").is_err());
        assert!(Known::read("a | b | c | ").is_err());
    }
}
