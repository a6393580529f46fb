use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Answer, Failure};
use crate::apps::counter::{self, Settings, StoreSettings};
use crate::web::limit::LoginRates;

#[derive(Args)]
pub(super) struct Arguments {
    /// Which app
    app: App,
    /// The path prefix under which nginx passes requests
    #[arg(long, default_value = "/")]
    base: String,
    /// Redis's Unix socket
    #[arg(long, conflicts_with = "file", required_unless_present = "file")]
    redis: Option<PathBuf>,
    /// Redis's ACL user
    #[arg(long, default_value = "counter")]
    redis_user: String,
    /// A file to keep the count in, instead of Redis
    #[arg(long)]
    file: Option<PathBuf>,
    /// The Redis key that holds the count
    #[arg(long, default_value = "visits")]
    count_key: String,
    /// What it calls itself: in its records, and as issuer and audience of its tokens
    #[arg(long, default_value = counter::NAME)]
    name: String,
    /// Login attempts a minute for each address; three times as many for each account
    #[arg(long, value_name = "COUNT")]
    logins_per_minute: Option<NonZeroU32>,
    /// The directory of the credentials; set by systemd
    #[arg(long, env = "CREDENTIALS_DIRECTORY")]
    credentials: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum App {
    Counter,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    let App::Counter = arguments.app;
    let store = match (&arguments.redis, &arguments.file) {
        (Some(socket), _) => StoreSettings::Redis {
            socket: socket.clone(),
            user: arguments.redis_user.clone(),
            key: arguments.count_key.clone(),
        },
        (None, Some(file)) => StoreSettings::Embedded { file: file.clone() },
        (None, None) => {
            return Err(Failure::new(
                "no store",
                "give `--redis SOCKET` or `--file FILE`",
            ));
        }
    };
    let base = arguments.base.trim_end_matches('/');
    let mut settings = Settings::new(base, store, arguments.credentials.clone());
    settings.name.clone_from(&arguments.name);
    if let Some(count) = arguments.logins_per_minute {
        settings.login_rates = LoginRates::a_minute(count);
    }
    match counter::serve(settings) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let text = error.to_string();
            let (message, help) = text
                .split_once("\nhelp: ")
                .map_or((text.as_str(), None), |(m, h)| (m, Some(h.to_owned())));
            Err(Failure {
                message: message.to_owned(),
                help,
                code: 1,
            })
        }
    }
}
