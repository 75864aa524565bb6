//! Logs once when the collector stops taking spans, and once when it takes them again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

/// An exporter whose failures are logged.
#[derive(Debug)]
pub(super) struct LoggedExporter<E> {
    inner: E,
    is_failing: AtomicBool,
}

impl<E> LoggedExporter<E> {
    pub(super) fn new(inner: E) -> Self {
        Self { inner, is_failing: AtomicBool::new(false) }
    }
}

impl<E: SpanExporter> SpanExporter for LoggedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.inner.export(batch).await;
        match (&sent, self.is_failing.swap(sent.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(%error, spans, "spans do not arrive at the collector, and are dropped")
            }
            (Ok(()), true) => tracing::info!("spans arrive at the collector again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex, PoisonError},
    };

    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    /// Fails if the test says so.
    #[derive(Debug, Default)]
    struct Moody(AtomicBool);

    impl SpanExporter for Moody {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let fails = self.0.load(Ordering::Relaxed);
            if fails { Err(OTelSdkError::InternalFailure("nobody is there".to_owned())) } else { Ok(()) }
        }
    }

    #[derive(Clone, Debug, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_loss_of_a_collector_is_logged_once_and_so_is_its_return() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let _log = tracing::subscriber::set_default(subscriber);
        let exporter = LoggedExporter::new(Moody::default());
        for fails in [false, true, true, true, false, false, true] {
            exporter.inner.0.store(fails, Ordering::Relaxed);
            assert_eq!(exporter.export(Vec::new()).await.is_err(), fails);
        }
        let text = String::from_utf8(log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap();
        let warnings: Vec<_> = text.lines().map(|line| line.contains("WARN")).collect();
        assert_eq!(warnings, [true, false, true], "{text}");
    }
}
