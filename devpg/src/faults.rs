//! What a test does to a server to see whether others survive it.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::error::DevpgError;
use crate::postmaster::Postmaster;

impl Cluster {
    /// Ends every process of the server by SIGKILL, and returns when all are gone.
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

    /// Starts the server again, on the same port and socket; one that still runs is stopped first.
    ///
    /// # Errors
    ///
    /// [`DevpgError::PortTaken`] when another program took the port meanwhile, or whatever else kept it from starting.
    pub async fn restart(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.server.stop().await?;
        self.server.port_is_free().await?;
        self.server.launch().await
    }

    /// Stops every process of the server in its tracks (SIGSTOP): connections stay open and nobody answers.
    ///
    /// # Errors
    ///
    /// [`DevpgError::NotRunning`] when it does not run.
    pub async fn pause(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.needed()?.pause().await;
        Ok(())
    }

    /// Lets a paused server go on (SIGCONT).
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
