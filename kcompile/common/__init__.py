"""What every room uses: errors and checks, settings, nested structures, files."""
