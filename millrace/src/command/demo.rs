//! `millrace demo`: a fake camera over real RTSP, the receiver, the project's own model, and a table, in one
//! process and one folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fake_camera::{CameraConfig, FakeCamera, Feed, SceneSource};
use media::scene::SceneConfig;
use millrace::Millrace;
use millrace::audit::Equation;
use services::config::{Config, Overrides, parse};
use services::counted;
use table::print::Format;
use telemetry::stop::drain_on_signal;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::site::own_folder;
use super::{audit, query};
use crate::cli::DemoArgs;
use crate::screen::Screen;

const MODEL: &[u8] = include_bytes!("../../../models/shapes.onnx");
/// Frames with rows that make a first answer worth printing.
const FIRST_FRAMES: u64 = 15;
const FIRST_ANSWER: &str = "\
SELECT label, COUNT(*) AS seen, COUNT(DISTINCT frame_id) AS frames, AVG(score) AS score
FROM detections_unique WHERE status = 'ok' GROUP BY label ORDER BY seen DESC, label";

pub(crate) async fn run(args: &DemoArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    let data = own_folder(args.data.as_deref(), "demo")?;
    let model = unpack_model(&data)?;
    let camera = FakeCamera::start(scene()).await.context("start fake camera")?;
    let mut millrace = Millrace::start(configuration(&camera.url("scene"), &model, &data)?).await?;
    screen.say(format!("camera  {}  the synthetic scene, over RTSP", camera.url("scene")))?;
    screen.say(format!(
        "model   {}  finds {}",
        model.display(),
        media::scene::LABELS.join(", ")
    ))?;
    screen.say(format!("data    {}  pictures in objects/, rows in table/", data.display()))?;
    drain_on_signal(millrace.receiving())?;
    if let Some(seconds) = args.seconds {
        stop_after(seconds, millrace.receiving());
    }
    let result = watch(&mut millrace, &mut screen).await;
    camera.stop().await;
    result?;
    screen.say("")?;
    let equations = audit::print(millrace.folder(), &screen).await?;
    screen.say(format!(
        "ask     millrace query --data {} \"SELECT * FROM frames\"",
        data.display()
    ))?;
    check(&equations)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what goes on until the receiver was told to stop and all is answered.
async fn watch(millrace: &mut Millrace, screen: &mut Screen) -> anyhow::Result<()> {
    let mut is_answered = false;
    loop {
        tokio::select! {
            biased;
            ended = millrace.ended() => {
                screen.finish(&millrace.status(), &millrace.models());
                return ended;
            }
            () = sleep(screen.period()) => {}
        }
        let status = millrace.status();
        screen.show(&status, &millrace.models());
        let inferred: u64 = status.iter().map(|status| status.inferred).sum();
        if !is_answered && inferred >= FIRST_FRAMES {
            is_answered = true;
            first_answer(millrace, screen).await?;
        }
    }
}

fn stop_after(seconds: u64, receiving: CancellationToken) {
    tokio::spawn(async move {
        sleep(Duration::from_secs(seconds)).await;
        receiving.cancel();
    });
}

async fn first_answer(millrace: &Millrace, screen: &Screen) -> anyhow::Result<()> {
    let mut text = format!("\n{FIRST_ANSWER}\n\n").into_bytes();
    query::answer(millrace.folder(), FIRST_ANSWER, Format::Table, &mut text).await?;
    text.push(b'\n');
    screen.print(&text)?;
    Ok(())
}

fn scene() -> CameraConfig {
    let scene = SceneConfig { width: 1_280, height: 720, ..SceneConfig::default() };
    CameraConfig::loopback().with("scene", Feed::scene(SceneSource::new(scene)))
}

/// Five frames a second, answered within half a second or so.
fn configuration(url: &str, model: &Path, data: &Path) -> anyhow::Result<Config> {
    let mut flags = Overrides::default();
    flags.set_path("demo", &["data"], data);
    flags.set("demo", &["streams", "scene", "url"], url);
    flags.set_path("demo", &["models", "shapes", "path"], model);
    for (key, value) in [("every", "200ms"), ("pick", "exact"), ("max_delay", "200ms")] {
        flags.set("demo", &["models", "shapes", "sample", key], value);
    }
    Ok(parse(None, &BTreeMap::new(), &flags)?)
}

fn unpack_model(data: &Path) -> anyhow::Result<PathBuf> {
    let attempt = || format!("write demo model into {data:?}");
    std::fs::create_dir_all(data).with_context(attempt)?;
    let path = data.join("shapes.onnx");
    std::fs::write(&path, MODEL).with_context(attempt)?;
    Ok(path)
}

/// Nothing may be lost on a quiet machine.
fn check(equations: &[Equation]) -> anyhow::Result<()> {
    let sum = |count: fn(&Equation) -> u64| equations.iter().map(count).sum::<u64>();
    ensure!(sum(|equation| equation.delivered) > 0, "demo: no frame was answered");
    ensure!(
        equations.iter().all(|equation| equation.closes),
        "demo: the loss equation does not close"
    );
    let lost = sum(|equation| equation.account.shed_total()) + sum(|equation| equation.dead);
    ensure!(lost == 0, "demo: given up: {}", counted(lost, "frame"));
    let waiting = sum(|equation| equation.in_flight);
    ensure!(waiting == 0, "demo: not answered in time: {}", counted(waiting, "frame"));
    Ok(())
}
