//! The one macro of the sinks: a word in its list makes a kind known to the configuration, the schema and `build`.

/// Declares the modules of all kinds and, over them, [`SinkTable`](super::SinkTable).
///
/// A kind is a module with a `Config` (deserialised, described by a JSON Schema) that has:
/// - `const MAX_PER_MINUTE: Option<u32>`: the rate its destination bears, where `max_per_minute` is not set;
/// - `fn check(&self, span: Range<usize>, problems: &mut Vec<Problem>)`: pure; `span` is the kind's own table;
/// - `fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError>`: reads secrets, opens nothing else.
macro_rules! sinks { ($($(#[$about:meta])* $kind:ident),+ $(,)?) => {
    $($(#[$about])* pub mod $kind;)+

    /// One `[sinks.<name>]` table: common knobs plus exactly one kind.
    #[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct SinkTable {
        /// At most this many notifications a minute; what is over is told as a digest by chat sinks and waits at
        /// pagers. Default: Slack 50, PagerDuty 100, Security Hub 300, webhooks, Splunk and syslog 600, files and standard
        /// output without a limit.
        #[serde(default)]
        #[schemars(with = "Option<u32>")]
        pub max_per_minute: Option<Spanned<u32>>,
        /// The sink that is told instead when this one rejects a notification or has been failing for `fallback_after`.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        pub fallback: Option<Spanned<String>>,
        /// How long this sink may fail before the fallback is told. Default: 10 minutes.
        #[serde(default = "fallback_after")]
        #[schemars(default = "fallback_after_text")]
        pub fallback_after: Period,
        $(
            $(#[$about])*
            #[serde(default)]
            pub $kind: Option<At<$kind::Config>>,
        )+
    }

    impl SinkTable {
        /// The words that may follow a sink's name.
        pub const KINDS: &'static [&'static str] = &[$(stringify!($kind)),+];

        /// The one kind that is configured; the first, where a file not yet checked has several.
        pub fn kind(&self) -> Option<&'static str> {
            $(if self.$kind.is_some() { return Some(stringify!($kind)); })+
            None
        }

        /// Reports everything that is wrong with the table; `span` is the whole table's place.
        pub fn check(&self, span: Range<usize>, problems: &mut Vec<Problem>) {
            let mut found: Vec<(&'static str, Range<usize>)> = vec![];
            $(if let Some(config) = &self.$kind {
                found.push((stringify!($kind), config.span()));
                config.get().check(config.span(), problems);
            })+
            self.check_common(&found, span, problems);
        }

        /// Notifications a minute that this sink takes; `None` is no limit.
        pub fn limit(&self) -> Option<u32> {
            if let Some(limit) = &self.max_per_minute {
                return Some(*limit.get_ref());
            }
            $(if self.$kind.is_some() { return $kind::Config::MAX_PER_MINUTE; })+
            None
        }

        /// Builds the sink: reads its secrets, connects to nothing.
        ///
        /// # Errors
        /// When a secret or a file is missing, or the table was never checked and holds no kind.
        pub fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
            $(if let Some(config) = &self.$kind { return config.get().build(context); })+
            Err(BuildError::Wrong(format!("the sink has no kind; it needs one of {}", Self::KINDS.join(", "))))
        }
    }
}; }
