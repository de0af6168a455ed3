"""The pages that people work at, the overview of the line and the report, on the state that REST serves."""
