//! Every key there is: as one file has it, and as all files together have it.

use serde::{Deserialize, Deserializer, Serialize, de};
use toml::Spanned;

use crate::agent::version::Scheme;
use crate::ops::drop_in::{DropIn, Placed};

/// What the agent does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Nothing; `update-now` still works.
    None,
    /// Looks for updates, and tells.
    Check,
    /// Downloads and stages; a restart by somebody else makes it boot.
    Stage,
    /// And restarts, when it may.
    #[default]
    Apply,
}

impl Policy {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Check => "check",
            Self::Stage => "stage",
            Self::Apply => "apply",
        }
    }
}

/// What says which image is the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FollowWhat {
    #[default]
    Tag,
    Version,
    Graph,
}

/// What a restart waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    Immediate,
    Periodic,
    FleetLock,
}

/// Whether the kernel may go on running where it stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoftReboot {
    #[default]
    Never,
    /// Where it is possible; otherwise a full restart.
    Auto,
}

/// What people who are logged in, and programs that do not want a shutdown, mean for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Users {
    #[default]
    Postpone,
    Ignore,
}

/// `"immediate"`, or several that must all allow it: `["periodic", "fleet-lock"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategies(pub Vec<Strategy>);

impl<'de> Deserialize<'de> for Strategies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Strategies;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a strategy, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Strategies, E> {
                Ok(Strategies(vec![Strategy::deserialize(de::value::StrDeserializer::new(text))?]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Strategies, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Strategies)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// What becomes of a value when its file is known.
pub(super) trait Place {
    type Placed;
    fn place(self, file: &DropIn) -> Self::Placed;
}

impl<T> Place for Spanned<T> {
    type Placed = Placed<T>;

    fn place(self, file: &DropIn) -> Placed<T> {
        file.place(self)
    }
}

impl<T: Place> Place for Vec<T> {
    type Placed = Vec<T::Placed>;

    fn place(self, file: &DropIn) -> Self::Placed {
        self.into_iter().map(|value| value.place(file)).collect()
    }
}

impl Place for fragment::Window {
    type Placed = merged::Window;

    fn place(self, file: &DropIn) -> merged::Window {
        let mut window = merged::Window::default();
        window.add(self, file);
        window
    }
}

/// Makes of each table the struct of a file, whose keys may all be absent, and that of all files together. A name in brackets is a
/// table in the table.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident {
        $($key:ident: $type:ty,)*
        $([$inner:ident]: $inner_table:ident,)*
    })*) => {
        /// A file as written.
        pub(super) mod fragment {
            use super::*;

            $($(#[$doc])*
            #[derive(Debug, Clone, Default, Deserialize)]
            #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
            pub struct $table {
                $(pub $key: Option<$type>,)*
                $(pub $inner: $inner_table,)*
            })*
        }

        /// All files together: the last value of each key, and where it was written.
        pub(super) mod merged {
            use super::*;

            $($(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq)]
            pub struct $table {
                $(pub $key: Option<<$type as Place>::Placed>,)*
                $(pub $inner: $inner_table,)*
            }

            impl $table {
                /// Adds what a file says; it replaces what earlier ones said.
                pub fn add(&mut self, fragment: fragment::$table, file: &DropIn) {
                    $(if let Some(value) = fragment.$key {
                        self.$key = Some(value.place(file));
                    })*
                    $(self.$inner.add(fragment.$inner, file);)*
                }
            })*
        }
    };
}

tables! {
    File {
        [agent]: Agent,
        [update]: Update,
        [graph]: Graph,
        [identity]: Identity,
        [reboot]: Reboot,
        [hooks]: Hooks,
        [metrics]: Metrics,
    }
    /// `[agent]`
    Agent {
        policy: Spanned<Policy>,
        interval: Spanned<String>,
        jitter: Spanned<String>,
    }
    /// `[update]`
    Update {
        follow: Spanned<FollowWhat>,
        allow_downgrade: Spanned<bool>,
        min_age: Spanned<String>,
        limit_rate: Spanned<String>,
        [version]: Version,
    }
    /// `[update.version]`
    Version {
        pattern: Spanned<String>,
        scheme: Spanned<Scheme>,
        pre_releases: Spanned<bool>,
    }
    /// `[graph]`
    Graph {
        base_url: Spanned<String>,
        stream: Spanned<String>,
    }
    /// `[identity]`
    Identity {
        group: Spanned<String>,
        node_id: Spanned<String>,
        rollout_wariness: Spanned<f64>,
        platform: Spanned<String>,
    }
    /// `[reboot]`
    Reboot {
        strategy: Spanned<Strategies>,
        soft: Spanned<SoftReboot>,
        users: Spanned<Users>,
        postpone: Spanned<String>,
        postpone_times: Spanned<u64>,
        [periodic]: Periodic,
        [fleet_lock]: FleetLock,
    }
    /// `[reboot.periodic]`
    Periodic {
        time_zone: Spanned<String>,
        window: Vec<fragment::Window>,
    }
    /// `[[reboot.periodic.window]]`
    Window {
        days: Vec<Spanned<String>>,
        start_time: Spanned<String>,
        length: Spanned<String>,
    }
    /// `[reboot.fleet-lock]`
    FleetLock {
        base_url: Spanned<String>,
    }
    /// `[hooks]`
    Hooks {
        timeout: Spanned<String>,
    }
    /// `[metrics]`
    Metrics {
        listen: Spanned<String>,
        textfile: Spanned<String>,
    }
}
