// Signs of life in a ring: every rank tells the next one that it lives and how many exchanges it
// has come to, so that a rank that was killed, stopped or is stuck is named by its neighbour.
#pragma once

#include <mpi.h>

#include <chrono>
#include <functional>
#include <string>

#include "train/parallel/connect.h"

namespace vitsnna::train {

class MpiBeats {
 public:
  using Clock = std::chrono::steady_clock;
  /// What is wrong with which rank.
  using Alarm = std::function<void(int rank, const std::string& reason)>;

  /// `world` is duplicated. Several ranks.
  MpiBeats(MPI_Comm world, const ParallelOptions& options, Alarm alarm);

  /// Sends and receives what is due and raises the alarm; quick. `exchanges` this rank has come to.
  void tick(long exchanges);

  /// After an exchange that all ranks have completed: no more beats, and none under way. Ticks
  /// until then are the caller's: true once done.
  bool finish();

 private:
  static constexpr long kGoodbye = -1;
  void receive(Clock::time_point now);
  void send(long value, Clock::time_point now);
  void judge(long exchanges, Clock::time_point now);

  MPI_Comm comm_ = MPI_COMM_NULL;
  ParallelOptions options_;
  Alarm alarm_;
  int left_ = 0, right_ = 0;
  long sent_ = 0, incoming_ = 0;  ///< buffers of the requests
  MPI_Request send_ = MPI_REQUEST_NULL, receive_ = MPI_REQUEST_NULL;
  long left_exchanges_ = 0;
  bool left_gone_ = false, goodbye_sent_ = false, behind_ = false;
  Clock::time_point ticked_, beaten_, heard_, behind_since_;
};

}  // namespace vitsnna::train
