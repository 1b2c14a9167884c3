//! Assembly: configuration, telemetry, actix-web, REST, console host, workers.
