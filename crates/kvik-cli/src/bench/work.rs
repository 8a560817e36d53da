//! The commands of a load.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Get,
    Set,
}

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }

    /// The work of a name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        match name {
            "get" => Ok(Self::Get),
            "set" => Ok(Self::Set),
            _ => Err("get or set".to_owned()),
        }
    }
}
