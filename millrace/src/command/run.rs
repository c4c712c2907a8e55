//! `millrace run`: one video file, one model, one answer.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use millrace::Millrace;
use model_inference::model::manifest::Manifest;
use receive_video::store::audit;
use services::config::{Config, Overrides, parse};
use services::{Account, DataFolder, Epoch, ErrorKind, PortError, StreamId, counted};
use table::{EmbeddedTable, Table as _};

use super::attend::watch;
use super::query;
use super::site::{own_folder, scheme};
use crate::cli::RunArgs;
use crate::screen::Screen;

pub(crate) async fn run(mut args: RunArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    args.video = video(&args.video)?;
    let kind = ModelKind::of(&args.model)?;
    let data = own_folder(args.data.as_deref(), "run")?;
    let config = configuration(&args, kind, &data)?;
    let job = Job::new(&config)?;
    let sql = job.question(args.sql.as_deref()).await?;
    let mut millrace = Millrace::start(config).await?;
    let ended = watch(&mut millrace, &mut screen).await;
    // A failure is said once, at the end.
    let status = if ended.is_ok() { millrace.status() } else { Vec::new() };
    screen.finish(&status, &[]);
    let account = job.account()?;
    if ended.is_ok() || account.taken > 0 {
        query::answer(&job.folder, &sql, args.format, &mut io::stdout()).await?;
        screen.note(&[
            asked(&account, args.every.as_deref()),
            format!("ask more: millrace query --data {} \"SELECT …\"", data.display()),
        ]);
    }
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// One run in a data folder that may hold earlier ones.
struct Job {
    folder: DataFolder,
    stream: StreamId,
    /// The last connection of an earlier run of this stream.
    before: Epoch,
    /// Whether earlier runs of any stream left something.
    is_reused: bool,
}

impl Job {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let folder = DataFolder::new(&config.data);
        std::fs::create_dir_all(folder.root())
            .with_context(|| format!("make data folder {:?}", folder.root()))?;
        let stream = config.streams.keys().next().context("the video is a stream")?.clone();
        let epochs = epochs(&folder, &stream)?;
        let before = epochs.into_iter().map(|(epoch, _)| epoch).max().unwrap_or(Epoch(0));
        let is_reused = !folder.streams()?.is_empty();
        Ok(Self { folder, stream, before, is_reused })
    }

    /// The question that is asked at the end, checked before anything runs.
    async fn question(&self, asked: Option<&str>) -> anyhow::Result<String> {
        ensure!(
            asked.is_none() || !self.is_reused,
            "--sql: data folder {:?} holds the answers of earlier runs, which the question would be about as well: leave \
             --data out, or ask with \"millrace query\"",
            self.folder.root()
        );
        let sql = asked.map_or_else(|| self.seen(), str::to_owned);
        let table = EmbeddedTable::open(&self.folder)?;
        let what = if asked.is_some() { "--sql" } else { "ask what was seen" };
        table.query(&sql).await.context(what)?;
        Ok(sql)
    }

    /// What is asked when nobody asks: what this run saw.
    fn seen(&self) -> String {
        let Self { stream, before, .. } = self;
        format!(
            "SELECT label, COUNT(*) AS detections, COUNT(DISTINCT frame_id) AS frames, AVG(score) AS score \
             FROM detections_unique WHERE status = 'ok' AND stream = '{stream}' AND epoch > {} \
             GROUP BY label ORDER BY detections DESC, label",
            before.0
        )
    }

    /// What became of this run's pictures.
    fn account(&self) -> anyhow::Result<Account> {
        let mut sum = Account::default();
        let epochs = epochs(&self.folder, &self.stream)?;
        let ours = epochs.iter().filter(|(epoch, _)| *epoch > self.before);
        ours.for_each(|(_, account)| sum.add(account));
        Ok(sum)
    }
}

/// The accounts of a stream, by connection.
fn epochs(folder: &DataFolder, stream: &StreamId) -> Result<Vec<(Epoch, Account)>, PortError> {
    match audit(&folder.spool(stream)) {
        Ok(spool) => Ok(spool.accounts.into_iter().map(|one| (one.epoch, one.account)).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// How many pictures the answer is about, and how it could be about more.
fn asked(account: &Account, every: Option<&str>) -> String {
    let Account { received, taken, .. } = account;
    let which = match every {
        Some(every) => format!("one every {every}"),
        None => "key frames alone, one a second at most; --every 1s takes others, too".to_owned(),
    };
    format!("asked about {taken} of {}: {which}", counted(*received, "picture"))
}

/// The file that is asked about, which may be written as a URL.
fn video(named: &Path) -> anyhow::Result<PathBuf> {
    let text = named.to_string_lossy();
    let path = match scheme(&text) {
        Some("file") => {
            let path = &text["file:".len()..];
            Path::new(path.strip_prefix("//").unwrap_or(path))
        }
        Some(scheme) => bail!(
            "VIDEO begins with \"{scheme}:\"; wanted a file. \"millrace probe\" looks at a camera, and \"millrace up\" \
             asks models about it, once a configuration names both (\"millrace init\" writes one to start from)"
        ),
        None => named,
    };
    let found = path.metadata().with_context(|| format!("open video {path:?}"))?;
    ensure!(found.is_file(), "open video {path:?}: not a file");
    Ok(path.to_owned())
}

/// What `--model` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelKind {
    File,
    Algorithm,
}

impl ModelKind {
    fn of(model: &str) -> anyhow::Result<Self> {
        let path = Path::new(model);
        if path.is_file() {
            return Ok(Self::File);
        }
        if model == "circles" || model.starts_with("sleep:") {
            return Ok(Self::Algorithm);
        }
        let what = if path.is_dir() { "it is a folder" } else { "there is no such file" };
        bail!(
            "--model {model:?}: {what}; wanted an ONNX file, or the algorithm circles or sleep:DURATION. {}",
            onnx_advice(path)
        )
    }

    /// The key that it belongs to.
    fn key(self) -> &'static str {
        match self {
            Self::File => "path",
            Self::Algorithm => "algorithm",
        }
    }
}

/// Where an ONNX file is, or comes from.
fn onnx_advice(model: &Path) -> String {
    let onnx = model.with_extension("onnx");
    if onnx.is_file() {
        return format!("There is {onnx:?}");
    }
    let name = name_of(model);
    let name = if name.to_lowercase().contains("yolo") { &name } else { "yolo11n" };
    format!(
        "ultralytics writes one: \"yolo export model={name}.pt format=onnx\"; models/shapes.onnx in Millrace's repository \
         knows the shapes of its scene"
    )
}

/// The configuration that says the same as the command line.
fn configuration(args: &RunArgs, kind: ModelKind, data: &Path) -> anyhow::Result<Config> {
    let (video, file) = (&args.video, Path::new(&args.model));
    let stream = name_of(video);
    let mut flags = Overrides::default();
    flags.set_path("--data", &["data"], data);
    flags.set("VIDEO", &["streams", &stream, "url"], format!("file:{}", text(video)));
    let manifest = match kind {
        ModelKind::File => Manifest::find(file, args.manifest.as_deref())?.0,
        ModelKind::Algorithm => Manifest::default(),
    };
    let model = manifest.name.map_or_else(|| name_of(file), |name| name.to_string());
    flags.set("--model", &["models", &model, kind.key()], &args.model);
    if let Some(manifest) = &args.manifest {
        flags.set_path("--manifest", &["models", &model, "manifest"], manifest);
    }
    if let Some(every) = &args.every {
        flags.set("--every", &["models", &model, "sample", "every"], every);
        flags.set("--every", &["models", &model, "sample", "pick"], "exact");
    }
    Ok(parse(None, &BTreeMap::new(), &flags)?)
}

fn text(path: &Path) -> String {
    PathBuf::from(path).to_string_lossy().into_owned()
}

/// A name for a stream or model, made of a file's.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = stem.chars().map(plain).collect();
    let name = name.trim_start_matches(['-', '_']);
    if name.is_empty() { "video".to_owned() } else { name.chars().take(64).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_as_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = |file| folder.path().join(file);
        std::fs::write(path("clip.mp4"), "").unwrap();
        let args = RunArgs {
            video: path("clip.mp4"),
            model: text(&path("export-12.onnx")),
            manifest: None,
            every: None,
            sql: None,
            format: table::print::Format::Table,
            data: None,
        };
        let names = || {
            let config = configuration(&args, ModelKind::File, &path("data")).unwrap();
            config.models.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["export-12"]);
        std::fs::write(path("export-12.toml"), "name = \"people\"").unwrap();
        assert_eq!(names(), ["people"]);
    }

    #[test]
    fn it_is_said_how_many_pictures_were_asked_about() {
        let account = Account { received: 1_189, taken: 5, ..Account::default() };
        let said = asked(&account, None);
        assert!(said.starts_with("asked about 5 of 1189 pictures: key frames alone"), "{said}");
        assert_eq!(asked(&account, Some("2s")), "asked about 5 of 1189 pictures: one every 2s");
    }

    #[test]
    fn names_are_made_of_file_names() {
        for (file, name) in
            [("a/gate 7.mp4", "gate-7"), ("yolov8n.onnx", "yolov8n"), ("-.mp4", "video")]
        {
            assert_eq!(name_of(Path::new(file)), name);
            assert!(services::StreamId::new(name).is_ok());
        }
    }
}
