//! Faults that a test injects into a server.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::error::DevpgError;
use crate::postmaster::Postmaster;

impl Cluster {
    /// Kills every process of the server by SIGKILL, and returns when all have ended.
    ///
    /// # Errors
    ///
    /// [`DevpgError::NotRunning`] when it does not run, [`DevpgError::Stop`] when a process outlives the signal.
    pub async fn kill_hard(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.needed()?.kill().await?;
        self.server.set_postmaster(None);
        Ok(())
    }

    /// Starts the server again, on the same port and socket. A running server is stopped first.
    ///
    /// # Errors
    ///
    /// [`DevpgError::PortTaken`] when another program has taken the port, or another reason why the server did not
    /// start.
    pub async fn restart(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.server.stop().await?;
        self.server.port_is_free().await?;
        self.server.launch().await
    }

    /// Pauses every process of the server (SIGSTOP): connections stay open, and nobody answers.
    ///
    /// # Errors
    ///
    /// [`DevpgError::NotRunning`] when it does not run.
    pub async fn pause(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.needed()?.pause().await;
        Ok(())
    }

    /// Resumes a paused server (SIGCONT).
    ///
    /// # Errors
    ///
    /// [`DevpgError::NotRunning`] when it does not run.
    pub async fn resume(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.needed()?.resume();
        Ok(())
    }

    fn needed(&self) -> Result<Arc<Postmaster>, DevpgError> {
        self.server.running().ok_or_else(|| DevpgError::NotRunning { folder: self.home().to_owned() })
    }
}
