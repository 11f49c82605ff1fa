"""Generated stubs of the Crossdock contract; see proto/crossdock/v1 for what every field means."""
