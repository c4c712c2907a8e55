//! Threads that serve jobs, in the order in which they come: what the async runtime must not do.

use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::mpsc;

/// Threads of one kind. They end when it is dropped, after the job that they are in.
#[derive(Debug)]
pub(super) struct Threads<Job> {
    jobs: mpsc::Sender<Job>,
}

impl<Job: Send + 'static> Threads<Job> {
    /// Starts `count` threads, called `name` and a number, each of which serves jobs with what `server` makes it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start<Serve: FnMut(Job)>(
        name: &str,
        count: usize,
        server: impl Fn() -> Serve + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(1);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let (server, queue) = (server.clone(), Arc::clone(&queue));
            let builder = thread::Builder::new().name(format!("{name}-{number}"));
            builder.spawn(move || {
                let mut serve = server();
                while let Some(job) = next(&queue) {
                    serve(job);
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Gives them a job, when one of them has taken the one before it.
    ///
    /// # Errors
    /// When the threads have ended.
    pub(super) async fn give(&self, job: Job) -> Result<(), ThreadsEnded> {
        self.jobs.send(job).await.map_err(|_| ThreadsEnded)
    }
}

fn next<Job>(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

/// The threads have ended.
#[derive(Debug)]
pub(super) struct ThreadsEnded;
