//! `millrace run`: one video file, one model, one answer.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use millrace::Millrace;
use model_inference::model::manifest::Manifest;
use services::DataFolder;
use services::config::{Config, Overrides, parse};

use super::attend::attend;
use super::query;
use super::site::own_folder;
use crate::cli::RunArgs;
use crate::screen::Screen;

/// What is asked when nobody asks.
const SEEN: &str = "\
SELECT label, COUNT(*) AS detections, COUNT(DISTINCT frame_id) AS frames, AVG(score) AS score
FROM detections_unique WHERE status = 'ok' GROUP BY label ORDER BY detections DESC, label";

pub(crate) async fn run(args: RunArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    check_video(&args.video)?;
    let data = own_folder(args.data.as_deref(), "run")?;
    let config = configuration(&args, &data)?;
    attend(Millrace::start(config).await?, &mut screen).await?;
    let sql = args.sql.as_deref().unwrap_or(SEEN);
    query::answer(&DataFolder::new(&data), sql, args.format, &mut io::stdout()).await?;
    screen.note(&[format!("ask more: millrace query --data {} \"SELECT …\"", data.display())]);
    Ok(ExitCode::SUCCESS)
}

fn check_video(video: &Path) -> anyhow::Result<()> {
    let found = video.metadata().with_context(|| format!("open video {video:?}"))?;
    ensure!(found.is_file(), "open video {video:?}: not a file");
    Ok(())
}

/// The configuration that says the same as the command line.
fn configuration(args: &RunArgs, data: &Path) -> anyhow::Result<Config> {
    let (video, file) = (&args.video, Path::new(&args.model));
    let stream = name_of(video);
    let mut flags = Overrides::default();
    flags.set("--data", &["data"], text(data));
    flags.set("VIDEO", &["streams", &stream, "url"], format!("file:{}", text(video)));
    let is_like_a_path = args.model.contains(['.', '/']) && !args.model.starts_with("sleep:");
    let (kind, manifest) = if file.exists() || is_like_a_path {
        ("path", Manifest::find(file, args.manifest.as_deref())?.0)
    } else {
        ("algorithm", Manifest::default())
    };
    let model = manifest.name.map_or_else(|| name_of(file), |name| name.to_string());
    flags.set("--model", &["models", &model, kind], &args.model);
    if let Some(manifest) = &args.manifest {
        flags.set("--manifest", &["models", &model, "manifest"], text(manifest));
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
            let config = configuration(&args, &path("data")).unwrap();
            config.models.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["export-12"]);
        std::fs::write(path("export-12.toml"), "name = \"people\"").unwrap();
        assert_eq!(names(), ["people"]);
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
