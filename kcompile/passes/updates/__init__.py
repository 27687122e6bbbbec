"""Updates of variables: grouped, split, sparse, late."""
