"""The pages that people work at: the overview of the line and the report; they stand on the state that REST serves."""
