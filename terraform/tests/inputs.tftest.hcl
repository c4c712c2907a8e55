# Inputs that are refused before anything is made, with the variable that is named.

variables {
  prefix        = "check"
  image_tag     = "1"
  vpc_id        = "vpc-1"
  subnet_ids    = ["subnet-1"]
  worker_config = ""
  models        = { shapes = {} }
}

run "good_inputs_are_taken" {
  command = plan

  assert {
    condition     = aws_sqs_queue.work["shapes"].name == "check-shapes"
    error_message = "a queue is called PREFIX-MODEL"
  }
}

run "dots_in_models_and_fifo_make_names_that_sqs_takes" {
  command = plan

  variables {
    models = { "people.v2" = { fifo = true } }
  }

  assert {
    condition     = aws_sqs_queue.work["people.v2"].name == "check-people_v2.fifo"
    error_message = "a . is written as _, and .fifo comes last"
  }

  assert {
    condition     = aws_sqs_queue.dead["people.v2"].name == "check-people_v2-dead.fifo"
    error_message = "-dead comes before .fifo"
  }
}

run "a_prefix_that_no_bucket_may_have" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "Check"
  }
}

run "two_models_of_one_queue" {
  command         = plan
  expect_failures = [var.models]

  variables {
    models = { "a.b" = {}, "a_b" = {} }
  }
}

run "a_model_with_the_name_of_the_queue_of_results" {
  command         = plan
  expect_failures = [var.models]

  variables {
    models = { results = {} }
  }
}

run "names_too_long_for_a_role" {
  command         = plan
  expect_failures = [var.models]

  variables {
    models = { a-model-of-a-name-that-is-rather-long-for-its-purpose = {} }
  }
}

run "fewer_tasks_at_most_than_at_least" {
  command         = plan
  expect_failures = [var.models]

  variables {
    models = { shapes = { min_tasks = 3, max_tasks = 2 } }
  }
}

run "a_password_that_is_no_reference" {
  command         = plan
  expect_failures = [var.receivers]

  variables {
    receivers = { north = { config = "", secrets = { GATE_PASSWORD = "secret" } } }
  }
}

run "a_configuration_that_no_task_definition_holds" {
  command         = plan
  expect_failures = [var.receivers]

  variables {
    receivers = { north = { config = join("", [for number in range(1000) : "123456789012345678901234567890123"]) } }
  }
}

run "a_password_in_the_text_of_a_configuration" {
  command         = plan
  expect_failures = [var.receivers]

  variables {
    receivers = { north = { config = "[streams.gate]\npassword = 'hunter2'" } }
  }
}

run "a_password_in_a_url" {
  command         = plan
  expect_failures = [var.receivers]

  variables {
    receivers = { north = { config = "[streams.gate]\nurl = \"rtsp://viewer:hunter2@10.1.0.7/1\"" } }
  }
}

run "names_of_passwords" {
  command = plan

  variables {
    receivers = { north = { config = <<-TOML
      [streams.gate]
      url = "rtsp://viewer:$${GATE_PASSWORD}@10.1.0.7:554/1"
      [streams.yard]
      password = "$${YARD_PASSWORD}"
    TOML
    } }
  }
}

run "less_time_to_stop_than_the_programs_need" {
  command         = plan
  expect_failures = [var.stop_timeout]

  variables {
    stop_timeout = 20
  }
}

run "smaller_files_than_firehose_makes" {
  command         = plan
  expect_failures = [var.delivery_buffer_mib]

  variables {
    delivery_buffer_mib = 1
  }
}

run "frames_that_go_before_the_batch_that_waits" {
  command         = plan
  expect_failures = [var.frames_days]

  variables {
    frames_days  = 3
    message_days = 4
  }
}

run "frames_that_stay_as_long_as_the_batch_that_waits" {
  command = plan

  variables {
    frames_days  = 4
    message_days = 4
  }
}

run "dead_letters_that_go_before_the_batch_that_waits" {
  command         = plan
  expect_failures = [var.dead_letter_days]

  variables {
    dead_letter_days = 3
    message_days     = 4
  }
}

run "traces_as_the_programs_send_them" {
  command = plan

  variables {
    traces = { endpoint = "http://otel.internal:4318", cidr_block = "10.0.0.0/16" }
  }
}

run "traces_over_tls_which_the_programs_do_not_speak" {
  command         = plan
  expect_failures = [var.traces]

  variables {
    traces = { endpoint = "https://otel.internal:4318", cidr_block = "10.0.0.0/16" }
  }
}

run "traces_to_no_port" {
  command         = plan
  expect_failures = [var.traces]

  variables {
    traces = { endpoint = "http://otel.internal", cidr_block = "10.0.0.0/16" }
  }
}
