"""The dashboard's page: templates that the REST service fills in and serves at `/`."""
