//! Models that cannot be loaded beside those that can.

use std::sync::atomic::{AtomicBool, Ordering};

use model_inference::Load;
use model_inference::status::ModelState;
use services::ModelName;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::support::{Site, eventually, jpeg_of};

/// What is said of a model whose loading panicked with the words "made up".
const PANIC: &str = "load model: it panicked: made up";

/// All models of a site, running.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn begin(site: &Site, load: Load) -> Self {
        let (config, ports, board) = (site.config.clone(), site.ports.clone(), site.board.clone());
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let run = async move {
            model_inference::run_loaded_by(load, &config, &ports, board, shutdown).await
        };
        Self { stop, task: tokio::spawn(run) }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

fn failure(site: &Site, model: &str) -> Option<String> {
    match site.board.snapshot().remove(&ModelName::new(model).unwrap())?.state {
        ModelState::Failed(why) => Some(why),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_is_named_also_at_the_end_and_the_others_run() {
    let models = "[models.m]\nalgorithm = \"sleep:1ms\"\n[models.gone]\npath = \"gone.onnx\"\n";
    let site = Site::configured(models);
    site.submit(&[jpeg_of(64, 32)]).await;
    let running = Running::begin(&site, model_inference::model::load);
    site.done().await;
    assert_eq!(site.told(), ["0 none"]);
    let why = failure(&site, "gone").unwrap();
    assert!(why.starts_with("read model ") && why.contains("gone.onnx"), "{why}");
    let ended = running.stop().await.unwrap_err();
    assert!(ended.to_string().contains("gone.onnx"), "{ended}");
}

/// It was left out until a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_loading_panics_is_named_and_loaded_again_and_the_others_run() {
    static MAY_LOAD: AtomicBool = AtomicBool::new(false);
    let load: Load = |name, config| {
        assert!(name.as_str() == "m" || MAY_LOAD.load(Ordering::SeqCst), "made up");
        model_inference::model::load(name, config)
    };
    let models = "[models.a]\nalgorithm = \"sleep:1ms\"\n[models.m]\nalgorithm = \"sleep:1ms\"\n";
    let site = Site::configured(models);
    site.submit(&[jpeg_of(64, 32)]).await;
    let running = Running::begin(&site, load);
    site.done().await;
    assert_eq!(site.told(), ["0 none"]);
    let why = || failure(&site, "a");
    eventually("the panic is named", async || why().is_some_and(|why| why == PANIC)).await;
    MAY_LOAD.store(true, Ordering::SeqCst);
    let a = ModelName::new("a").unwrap();
    eventually("it is loaded again", async || site.board.snapshot()[&a].state == ModelState::Ready)
        .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_loading_panics_to_the_end_is_named_there() {
    let site = Site::configured("[models.bad]\nalgorithm = \"circles\"\n");
    let running = Running::begin(&site, |_, _| panic!("made up"));
    eventually("the panic is named", async || failure(&site, "bad").is_some()).await;
    let ended = running.stop().await.unwrap_err();
    assert_eq!(ended.to_string(), format!("model \"bad\": {PANIC}"));
}

#[tokio::test]
async fn without_a_single_model_the_run_ends_with_the_reasons() {
    let site = Site::configured("[models.m]\npath = \"gone.onnx\"\n");
    let stop = CancellationToken::new();
    let ended = model_inference::run(&site.config, &site.ports, site.board.clone(), stop).await;
    let words = format!("{:#}", ended.unwrap_err());
    assert!(words.contains("gone.onnx"), "{words}");
    assert_eq!(words.matches("No such file").count(), 1, "{words}");
}
