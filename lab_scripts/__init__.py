"""One module per task a person does; together the command xbar."""
