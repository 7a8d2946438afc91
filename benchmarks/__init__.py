"""What this project costs, measured."""
