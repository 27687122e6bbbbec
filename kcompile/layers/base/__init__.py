"""What several families of layers share."""
