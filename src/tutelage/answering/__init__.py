"""How a trained student answers: one file a family, without torch, the store or the project, so that it can leave."""
