//! The commands, one file each.

mod attend;
mod audit;
mod cost;
mod dead_letters;
mod demo;
mod infer;
mod init;
mod probe;
mod query;
mod receive;
mod repair;
mod run;
mod site;
mod up;
mod validate;

use std::process::ExitCode;

use crate::cli::Command;
use crate::screen::Screen;

/// Runs a command.
pub(crate) async fn run(command: Command, screen: Screen) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args, screen).await,
        Command::Up(args) => up::run(&args, screen).await,
        Command::Run(args) => run::run(args, screen).await,
        Command::Init(args) => init::run(&args, &screen),
        Command::Validate(args) => validate::run(&args, &screen),
        Command::Probe(args) => probe::run(&args, &screen).await,
        Command::Query(args) => query::run(&args).await,
        Command::Audit(args) => audit::run(&args, &screen).await,
        Command::Cost(args) => cost::run(&args, &screen).await,
        Command::Repair(args) => repair::run(&args, &screen).await,
        Command::DeadLetters(command) => dead_letters::run(&command, &screen).await,
        Command::Receive(args) => receive::run(args, screen).await,
        Command::Infer(args) => infer::run(args, screen).await,
    }
}

impl Command {
    /// Tells whether it runs until it is told to stop, and answers nothing.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Receive(_) | Self::Infer(_))
    }

    /// What is logged when the user does not say: what services do, and the troubles of the rest.
    pub(crate) fn default_log(&self) -> &'static str {
        if self.is_service() {
            "warn,millrace=info,receive_video=info,model_inference=info,services=info,telemetry=info"
        } else {
            // What a stream is given up for, or a model left out, is the command's own error.
            "warn,receive_video::given_up=off,model_inference::left_out=off"
        }
    }
}
