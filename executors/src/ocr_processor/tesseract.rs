//! Tesseract as a child process: one page in, words with boxes out.
//!
//! Invariant: it is only ever given plain grey pixels that our own sandbox made; it has no environment but what is named
//! here, limits on memory and time, and dies with the future that waits for it.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use domain::{Failure, FailureKind, TenantId};
use rlimit::Resource;
use sandbox::Turns;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::words::{self, PageWords};
use crate::documents::Picture;

const PAGE_WALL: Duration = Duration::from_secs(120);
const PAGE_CPU_SECONDS: u64 = 110;
const MEMORY_BYTES: u64 = 2 << 30;
const OUTPUT_BYTES: u64 = 32 << 20;
const ERROR_BYTES: u64 = 8 << 10;
/// Pages of one tenant that may wait for a process; one more is refused.
const PAGES_WAITING: usize = 1024;
const LIST_WALL: Duration = Duration::from_secs(10);

/// The program, found once, with the languages it has.
#[derive(Debug)]
pub(crate) struct Tesseract {
    installed: OnceCell<Installed>,
    /// Processes at once, over all steps of all tenants.
    turns: Turns,
}

#[derive(Debug)]
struct Installed {
    program: PathBuf,
    languages: Vec<String>,
}

impl Tesseract {
    pub(crate) fn new() -> Self {
        let slots = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Self { installed: OnceCell::new(), turns: Turns::new(slots, PAGES_WAITING) }
    }

    /// Checks that every wanted language is there; gives Tesseract's own writing of the list (`eng+deu`).
    pub(crate) async fn languages(&self, wanted: &[String]) -> Result<String, Failure> {
        let installed = self.installed().await?;
        for language in wanted {
            if !installed.languages.contains(language) {
                let has: Vec<&str> =
                    installed.languages.iter().map(String::as_str).filter(|name| *name != "osd").collect();
                let message = format!(
                    "The OCR language `{language}` is not installed; there are: {}. \
                     On Debian, install the package tesseract-ocr-{}.",
                    has.join(", "),
                    language.replace('_', "-")
                );
                return Err(Failure::new(FailureKind::Input, "language_not_installed", message));
            }
        }
        Ok(wanted.join("+"))
    }

    /// Reads one page.
    pub(crate) async fn read(
        &self,
        tenant: TenantId,
        picture: &Picture,
        pixels: Bytes,
        languages: &str,
    ) -> Result<PageWords, Failure> {
        let installed = self.installed().await?;
        let _turn = self.turns.take(tenant.uuid().as_u128()).await.ok_or_else(busy)?;
        // With the model for it, turned pages are turned upright first.
        let layout = if installed.languages.iter().any(|language| language == "osd") { "1" } else { "3" };
        let dpi = format!("{:.0}", picture.dpi.clamp(70.0, 2400.0));
        let arguments =
            ["stdin", "stdout", "-l", languages, "--psm", layout, "--dpi", &dpi, "-c", "tessedit_create_tsv=1"];
        let (status, output, errors) = exchange(&installed.program, &arguments, pixels, PAGE_WALL).await?;
        if !status.success() {
            tracing::warn!(%status, errors, "the OCR engine failed");
            return Err(Failure::new(FailureKind::Document, "ocr_failed", "The OCR engine gave up on the page."));
        }
        Ok(words::parse(&output, picture))
    }

    async fn installed(&self) -> Result<&Installed, Failure> {
        self.installed
            .get_or_try_init(|| async {
                let program = locate().ok_or_else(|| {
                    let message =
                        "There is no OCR engine on this machine; install Tesseract (on Debian: tesseract-ocr).";
                    Failure::new(FailureKind::Internal, "ocr_missing", message)
                })?;
                let (_, output, errors) = exchange(&program, &["--list-langs"], Bytes::new(), LIST_WALL).await?;
                // The first line is a heading; older versions write it all to standard error.
                let text = if output.trim().is_empty() { errors } else { output };
                let languages = text.lines().skip(1).map(|line| line.trim().to_owned()).collect();
                Ok(Installed { program, languages })
            })
            .await
    }
}

fn locate() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("tesseract")).find(|program| program.is_file())
}

async fn exchange(
    program: &PathBuf,
    arguments: &[&str],
    input: Bytes,
    wall: Duration,
) -> Result<(ExitStatus, String, String), Failure> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("OMP_THREAD_LIMIT", "1").env("LC_ALL", "C").current_dir("/");
    if let Some(data) = std::env::var_os("TESSDATA_PREFIX") {
        command.env("TESSDATA_PREFIX", data);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| unavailable(&error.to_string()))?;
    limit(&child);
    let work = talk(&mut child, input);
    match timeout(wall, work).await {
        Ok(result) => result.map_err(|error| unavailable(&error.to_string())),
        Err(_) => {
            let message = "The OCR engine takes too long over the page.";
            Err(Failure::new(FailureKind::Document, "document_too_complex", message))
        }
    }
}

/// Writes, reads and waits at once: the engine may begin to answer before it has read everything.
async fn talk(child: &mut Child, input: Bytes) -> std::io::Result<(ExitStatus, String, String)> {
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin {
            // An engine that ends early says why by its status.
            let _ = stdin.write_all(&input).await;
        }
    };
    let ((), output, errors) = tokio::join!(write, read(stdout, OUTPUT_BYTES), read(stderr, ERROR_BYTES));
    Ok((child.wait().await?, output?, errors?))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<String> {
    let Some(mut pipe) = pipe else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    (&mut pipe).take(limit).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Set from outside right after the start: the engine is no program of ours and sets none itself.
fn limit(child: &Child) {
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    for (resource, limit) in
        [(Resource::AS, MEMORY_BYTES), (Resource::CPU, PAGE_CPU_SECONDS), (Resource::CORE, 0), (Resource::FSIZE, 0)]
    {
        if let Err(error) = rlimit::prlimit(id, resource, Some((limit, limit)), None) {
            tracing::warn!(%error, "the OCR engine runs without one of its limits");
        }
    }
}

fn busy() -> Failure {
    let message = "Too many pages of this tenant wait for the OCR engine at the moment.";
    Failure::new(FailureKind::Overloaded, "ocr_busy", message)
}

fn unavailable(cause: &str) -> Failure {
    tracing::error!(%cause, "the OCR engine cannot be used");
    Failure::new(FailureKind::Internal, "ocr_unavailable", "The OCR engine cannot be used at the moment.")
        .retryable(true)
}
